/** The head in words: title, sentence and the lines under the figures. Pure. */

import { clock, count, day, duration, money, number } from "./format.js";

/** @typedef {import("./types").PageDocument} PageDocument */
/** @typedef {import("./types").Head} Head */
/** @typedef {import("./types").CostBar} CostBar */

const JOBS_FAILED = 3; // exit code of a run to the end; the figures show what failed
const SHORT = 120; // seconds of a run that has no pace and no from and to

/** "142 of 154 done, 7 failed". @param {Head} head */
export function title({ jobs, in_progress }) {
  if (!jobs.total) return "No jobs yet";
  const rest = [
    jobs.failed && `${number(jobs.failed)} failed`,
    jobs.unknown && `${number(jobs.unknown)} unknown`,
    jobs.cancelled && `${number(jobs.cancelled)} cancelled`,
  ]
    .filter(Boolean)
    .join(", ");
  if (jobs.failed === jobs.total) return jobs.total === 1 ? "The job failed" : `All ${number(jobs.total)} failed`;
  const done =
    jobs.done === jobs.total
      ? jobs.total === 1
        ? "The job is done"
        : `All ${number(jobs.total)} done`
      : `${number(jobs.done)} of ${number(jobs.total)} done${in_progress ? " so far" : ""}`;
  return rest ? `${done}, ${rest}` : done;
}

/** When it ran, for how long, and what waits. @param {PageDocument} page */
export function sentences(page) {
  const { head } = page;
  return [ran(page), outcome(head), ...head.waits].filter(Boolean).map(stop).join(" ");
}

/** @param {string} sentence */
function stop(sentence) {
  return /[.!?]$/.test(sentence) ? sentence : `${sentence}.`;
}

/** "Ran from 23:04 to 05:33, 6 h 30 min". @param {PageDocument} page */
function ran({ head, night, zone }) {
  if (!head.run) return head.jobs.total ? "It has not run yet" : "";
  const from = unix(head.run.of > 1 ? night.from : head.run.started_at),
    start = unix(head.run.started_at),
    end = head.run.ended_at;
  if (head.in_progress) return `In progress since ${moment(start, Date.now() / 1000, zone)}`;
  if (end === null) return `Ran from ${moment(start, Date.now() / 1000, zone)} until it was interrupted`;
  const to = unix(end),
    runs = head.run.of > 1 ? `${count(head.run.of, "run")} from ` : "Ran from ";
  if (head.run.of === 1 && to - from < SHORT) return `Ran at ${moment(from, to, zone)} for ${duration(head.seconds)}`;
  const several = day(from, zone) !== day(to, zone);
  const last = several && to - from > 86400 ? moment(to, from, zone) : clock(to, zone);
  const length = `${duration(head.seconds)}${head.run.of > 1 ? " in progress" : ""}`;
  return `${runs}${moment(from, to, zone, several)} to ${last}, ${length}`;
}

/** The time, with its day where that is not the other time's. @param {number} at @param {number} other
 * @param {number} zone @param {boolean} [always] */
function moment(at, other, zone, always = day(at, zone) !== day(other, zone)) {
  return always ? `${day(at, zone)}, ${clock(at, zone)}` : clock(at, zone);
}

/** How the last run ended, where that is not plain from the figures. @param {Head} head */
function outcome({ run, waits }) {
  if (!run || run.ended_at === null || waits.length || !run.meaning || [0, JOBS_FAILED].includes(run.exit_code ?? 0))
    return "";
  return `The last run ended with exit code ${run.exit_code}: ${run.meaning}`;
}

/** "run 2 of 2 · Sat 28 to Sun 29 Nov". @param {PageDocument} page */
export function subtitle({ head, night, zone }) {
  const first = day(unix(night.from), zone),
    last = day(unix(night.to), zone);
  const days = first === last ? first : `${first} to ${last}`;
  if (!head.run) return days;
  return `${head.run.of > 1 ? `run ${head.run.number} of ${head.run.of} · ` : ""}${days}`;
}

/** "22 images an hour · $0.0182 an image · 158 attempts". @param {Head} head */
export function pace(head) {
  const images = head.seconds < SHORT ? null : head.images_per_hour;
  return [
    head.images !== head.jobs.done && count(head.images, "image"),
    images !== null &&
      head.images > 1 &&
      `${number(images < 10 ? Number(images.toFixed(1)) : Math.round(images))} images an hour`,
    head.usd_per_image !== null && `${money(head.usd_per_image)} an image`,
    head.attempts > 0 && count(head.attempts, "attempt"),
  ]
    .filter(Boolean)
    .join(" · ");
}

/** What was spent, as the large figure: USD, else credits. @param {PageDocument} page */
export function spent({ head, costs }) {
  const credits = unpriced(costs.provider).map(([name, amount]) => [`${amount} credits`, name]);
  if (head.usd !== null && (Number(head.usd) || !credits.length)) {
    return { figure: money(head.usd), rest: credits.map(([amount, name]) => `+ ${amount} at ${name}`).join(" ") };
  }
  if (!credits.length) return { figure: head.attempts ? "No price known" : "$0", rest: "" };
  const [[figure, name], ...others] = credits;
  return { figure, rest: [`at ${name}`, ...others.map(([amount, other]) => `${amount} at ${other}`)].join(", ") };
}

/** Providers that count in credits and state no price in USD, with their credits. @param {CostBar[]} bars
 * @returns {[name: string, credits: string][]} */
export function unpriced(bars) {
  return bars.flatMap((bar) =>
    bar.usd === null && bar.credits !== null ? [[bar.name, number(Number(bar.credits))]] : [],
  );
}

/** The budget that all of the spending counts against; null where there are several, or one of the last run only.
 * @param {Head} head */
export function onlyBudget(head) {
  const [only, ...others] = head.budgets;
  // That of a run counts what is reserved at its end, too.
  const counted = [Number(head.usd), Number(head.usd) + Number(head.reserved_usd)];
  const whole =
    only?.unit === "USD" && !others.length && counted.some((usd) => Math.abs(usd - Number(only.spent_usd)) < 1e-9);
  return whole ? only : null;
}

/** "$2.41 left · $0.0336 at risk · $0.0178 lost to failures". @param {Head} head */
export function moneyLine(head) {
  const only = onlyBudget(head);
  const left = only
    ? Number(only.usd) - Number(head.usd) - Number(head.at_risk_usd) - Number(head.reserved_usd)
    : null;
  return [
    left !== null && (left > 0 ? `${money(left)} left` : "budget reached"),
    Number(head.reserved_usd) > 0 && `${money(head.reserved_usd)} reserved for what is at the provider`,
    Number(head.at_risk_usd) > 0 && `${money(head.at_risk_usd)} at risk`,
    Number(head.lost_usd) > 0 && `${money(head.lost_usd)} paid for failures`,
    head.unpriced > 0 && head.usd !== null && `${count(head.unpriced, "attempt")} without a price`,
  ]
    .filter(Boolean)
    .join(" · ");
}

/** @param {string} iso */
function unix(iso) {
  return Date.parse(iso) / 1000;
}

/** An amount of a budget in its unit. @param {Head["budgets"][number]} budget @param {string} value */
export function amount(budget, value) {
  return budget.unit === "credits" ? `${number(Number(value))} credits` : money(value);
}

/** "Saved by batch and flex: $1.24 against the standard price of 40 calls." @param {PageDocument["savings"]} savings */
export function savedText(savings) {
  if (!savings || !(Number(savings.usd) > 0)) return "";
  const rest = savings.unknown ? `; of ${count(savings.unknown, "call")} it is not known` : "";
  const by = savings.modes.join(" and ");
  return `Saved by ${by}: ${money(savings.usd)} against the standard price of ${count(savings.calls, "call")}${rest}.`;
}

/** "openai, batch batch_3f: 40 jobs since Mon 30 Nov, 04:10 (3 h), 12 of 40 carried out; ends by Tue 1 Dec, 04:10".
 * @param {import("./types").RemotePlace} place @param {PageDocument} page */
export function placeText(place, { generated_at, zone }) {
  const name = place.provider + (place.account ? ` (${place.account})` : "");
  const time = (/** @type {string} */ iso) => moment(unix(iso), 0, zone, true);
  const batch = place.id ? `batch ${place.id}` : "batch, not submitted yet";
  const where = place.submission === null ? "remote tasks" : batch;
  const age = duration(Math.max(0, unix(generated_at) - unix(place.since)));
  const parts = [
    `${name}, ${where}: ${count(place.jobs, "job")} since ${time(place.since)} (${age})`,
    carriedOut(place),
    place.deadline_at && `ends by ${time(place.deadline_at)}`,
    place.collect_by && `results until ${time(place.collect_by)}`,
    place.message,
  ];
  return parts.filter(Boolean).join("; ");
}

/** "12 of 40 carried out". @param {import("./types").RemotePlace} place */
function carriedOut({ total, completed }) {
  return total && completed !== null && `${number(completed)} of ${number(total)} carried out`;
}
