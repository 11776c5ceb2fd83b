/** Numbers, money, times and commands as text. Pure. */

const GROUPED = new Intl.NumberFormat("en-US");

/** @param {number} value */
export function number(value) {
  return GROUPED.format(value);
}

/** "1 picture", "2,000 pictures". @param {number} count @param {string} noun @param {string} [plural] */
export function count(count, noun, plural = `${noun}s`) {
  return `${number(count)} ${count === 1 ? noun : plural}`;
}

/** USD: two digits from a dollar on, else as many as show three figures. @param {number | string | null} usd */
export function money(usd) {
  if (usd === null || usd === "") return "no price";
  const value = Number(usd);
  if (value === 0) return "$0";
  if (Math.abs(value) >= 1)
    return `$${value.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
  const digits = Math.min(9, Math.max(2, 2 - Math.floor(Math.log10(Math.abs(value)))));
  return `$${value.toFixed(digits).replace(/(\.\d\d+?)0+$/, "$1")}`;
}

/** @param {number} bytes */
export function bytes(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let value = bytes / 1000,
    unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

/** "7.4 s", "12 min", "6 h 30 min", "2 d 4 h". @param {number} seconds */
export function duration(seconds) {
  if (seconds < 60) return `${seconds < 10 ? Number(seconds.toFixed(1)) : Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return hours % 24 ? `${Math.floor(hours / 24)} d ${hours % 24} h` : `${Math.floor(hours / 24)} d`;
}

/** The time of day on the machine that wrote the report. @param {number} seconds Unix time
 * @param {number} zone minutes east of UTC */
export function clock(seconds, zone) {
  return new Date((seconds + zone * 60) * 1000).toISOString().slice(11, 16);
}

/** The time of day with its seconds, for runs that are over in minutes. @param {number} seconds Unix time
 * @param {number} zone minutes east of UTC */
export function clockSeconds(seconds, zone) {
  return new Date((seconds + zone * 60) * 1000).toISOString().slice(11, 19);
}

/** "Sat 28 Nov". @param {number} seconds Unix time @param {number} zone minutes east of UTC */
export function day(seconds, zone) {
  const date = new Date((seconds + zone * 60) * 1000);
  return date.toLocaleDateString("en-GB", { weekday: "short", day: "numeric", month: "short", timeZone: "UTC" });
}

/** The text as one word of a shell. @param {string} text */
export function quote(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** The cell of a CSV file; a text that a spreadsheet would take for a formula begins with a quote.
 * @param {string | number | null} value */
export function cell(value) {
  let text = String(value ?? "");
  if (typeof value === "string" && /^[=+\-@\t\r]/.test(text)) text = `'${text}`;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** @param {(string | number | null)[][]} rows */
export function csv(rows) {
  return rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

/** A text for searching: lower case, without accents. @param {string} text */
export function fold(text) {
  return text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
}
