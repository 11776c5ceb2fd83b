/**
 * Build of the page: src/ and style/ become one classic script and one style sheet in built/.
 *
 *     node build.mjs PACKAGES        PACKAGES: the folder with node_modules (`make assets` fills it)
 *
 * The result depends on the sources and the exact versions in package.json only, so that a second build is the same
 * byte for byte. built/manifest.json names what went in and what came out.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
const PACKAGES = resolve(process.argv[2] ?? HERE);
const MODULES = join(PACKAGES, "node_modules");
const BUILT = join(HERE, "built");
// Variables and defaults first, which the other sheets refine.
const FIRST = ["tokens.css", "base.css", "sheet.css", "head.css"];
const LAST = ["print.css"];
const BROWSERS = ["chrome123", "firefox121", "safari17.5"]; // May 2024: light-dark()

const esbuild = createRequire(join(PACKAGES, "package.json"))("esbuild");

const sha256 = (/** @type {Buffer | string} */ bytes) => createHash("sha256").update(bytes).digest("hex");
const json = (/** @type {string} */ path) => JSON.parse(readFileSync(path, "utf8"));

/** Files of a folder by name, in an order that does not depend on the machine. */
function files(/** @type {string} */ folder, /** @type {RegExp} */ pattern) {
  return readdirSync(join(HERE, folder)).filter((name) => pattern.test(name)).sort();
}

function sheets() {
  const names = files("style", /\.css$/);
  const middle = names.filter((name) => !FIRST.includes(name) && !LAST.includes(name));
  return [...FIRST, ...middle, ...LAST].filter((name) => names.includes(name));
}

async function build() {
  const common = { absWorkingDir: HERE, bundle: true, write: false, minify: true, charset: "utf8", target: BROWSERS };
  const script = await esbuild.build({
    ...common, entryPoints: ["src/main.js"], outfile: "page.js", format: "iife", nodePaths: [MODULES], metafile: true,
    legalComments: "none", // the licences are in the banner
  });
  const contents = sheets().map((name) => `@import "./style/${name}";`).join("\n");
  const style = await esbuild.build({
    ...common, stdin: { contents, loader: "css", resolveDir: HERE }, outfile: "page.css", external: ["data:*"],
  });
  return { script, style };
}

/** The packages whose code is in the script, with their licences. */
function borrowed(/** @type {{inputs: Record<string, unknown>}} */ metafile) {
  const names = Object.keys(metafile.inputs)
    .map((path) => path.match(/node_modules\/((?:@[^/]+\/)?[^/]+)/)?.[1])
    .filter((name) => name !== undefined);
  return [...new Set(names)].sort().map((name) => {
    const about = json(join(MODULES, name, "package.json"));
    const file = ["LICENSE", "LICENSE.md", "LICENSE.txt"].map((each) => join(MODULES, name, each)).find(existsSync);
    if (!file) throw new Error(`${name} has no licence file`);
    return { name, version: about.version, license: about.license, text: readFileSync(file, "utf8").trim() };
  });
}

/** Versions and integrity of the packages, without those for one platform only. */
function packages() {
  const installed = json(join(MODULES, ".package-lock.json")).packages;
  const entries = Object.entries(installed).filter(([, about]) => !about.os && !about.cpu);
  return Object.fromEntries(
    entries.map(([path, { version, integrity }]) => [path.replace("node_modules/", ""), { version, integrity }]),
  );
}

/** A package that changed under its version is an error, as it would be with a lock file. */
function checkIntegrity(/** @type {Record<string, {version: string, integrity: string}>} */ now) {
  const path = join(BUILT, "manifest.json");
  const before = existsSync(path) ? json(path).packages : {};
  for (const [name, { version, integrity }] of Object.entries(now)) {
    if (before[name]?.version === version && before[name].integrity !== integrity)
      throw new Error(`${name} ${version} is not the package that built/manifest.json names: its integrity differs`);
  }
}

function sources() {
  const paths = [
    "build.mjs", "package.json", "tsconfig.json",
    ...files("src", /\.(js|ts)$/).map((name) => `src/${name}`),
    ...files("style", /\.css$/).map((name) => `style/${name}`),
  ];
  return Object.fromEntries(paths.map((path) => [path, sha256(readFileSync(join(HERE, path)))]));
}

const installed = packages();
checkIntegrity(installed);
const { script, style } = await build();
const licences = borrowed(script.metafile);
const notes = licences.map(({ name, version, license, text }) => `${name} ${version} (${license})\n\n${text}\n`);
const banner = notes.length ? `/*!\n${notes.join("\n").replaceAll("*/", "* /")}*/\n` : "";
/** @type {Record<string, string>} */
const outputs = {
  "page.js": banner + script.outputFiles[0].text,
  "page.css": style.outputFiles[0].text,
  "LICENSES.txt": `Code of other authors in page.js:\n\n${notes.join(`\n${"-".repeat(80)}\n\n`)}`,
};
mkdirSync(BUILT, { recursive: true });
for (const [name, text] of Object.entries(outputs)) writeFileSync(join(BUILT, name), text);
const manifest = {
  packages: installed,
  borrowed: Object.fromEntries(licences.map(({ name, version, license }) => [name, { version, license }])),
  sources: sources(),
  outputs: Object.fromEntries(Object.entries(outputs).map(([name, text]) => [name, sha256(text)])),
};
writeFileSync(join(BUILT, "manifest.json"), `${JSON.stringify(manifest, null, 1)}\n`);
for (const [name, text] of Object.entries(outputs)) console.log(`${name}  ${Buffer.byteLength(text)} bytes`);
