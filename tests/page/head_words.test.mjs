import assert from "node:assert/strict";
import { test } from "node:test";

import {
  moneyLine, onlyBudget, pace, placeText, savedText, sentences, spent, subtitle, title,
} from "../../batchgen/page/src/head_words.js";

const JOBS = { total: 154, pending: 4, running: 0, done: 142, failed: 7, unknown: 1, cancelled: 0, at_provider: 0 };
const RUN = {
  id: "r2", number: 1, of: 1, started_at: "2026-11-28T22:04:00Z", ended_at: "2026-11-29T04:34:00Z", exit_code: 3,
  meaning: "ran to the end",
};
const HEAD = {
  run: RUN, jobs: JOBS, images: 142, attempts: 171, usd: "2.5912", unpriced: 0, credits: {}, at_risk_usd: "0.0336",
  lost_usd: "0.0178", reserved_usd: null, budgets: [{ name: "batch", usd: "5", spent_usd: "2.5912", unit: "USD" }], seconds: 23_400,
  in_progress: false, images_per_hour: 21.8, usd_per_image: "0.0182", waits: [],
};
const NIGHT = { from: RUN.started_at, to: RUN.ended_at };

const page = (head = {}, costs = []) => ({ head: { ...HEAD, ...head }, night: NIGHT, zone: 60, costs: { provider: costs } });
const jobs = (some) => ({ jobs: { ...JOBS, done: 0, failed: 0, pending: 0, unknown: 0, ...some }, in_progress: false });

test("title counts what is done and what is not", () => {
  assert.equal(title(HEAD), "142 of 154 done, 7 failed, 1 unknown");
  assert.equal(title(jobs({ done: 154 })), "All 154 done");
  assert.equal(title(jobs({ total: 1, done: 1 })), "The job is done");
  assert.equal(title(jobs({ failed: 154 })), "All 154 failed");
  assert.equal(title(jobs({ total: 0 })), "No jobs yet");
  assert.equal(title({ ...jobs({ total: 200_000, done: 1000, pending: 199_000 }), in_progress: true }), "1,000 of 200,000 done so far");
});

test("sentence states when it ran in the zone of the machine, and what waits", () => {
  const waits = ["4 jobs wait: gptimageapi is out of money"];
  assert.equal(sentences(page({ waits })),
    "Ran from Sat 28 Nov, 23:04 to 05:34, 6 h 30 min. 4 jobs wait: gptimageapi is out of money.");
  assert.match(sentences(page({ run: { ...RUN, of: 3, number: 3 } })), /^3 runs from Sat 28 Nov, 23:04 to 05:34, .* in progress\.$/);
  assert.match(sentences(page({ in_progress: true, run: { ...RUN, ended_at: null } })), /^In progress since .*23:04\.$/);
  assert.match(sentences(page({ run: { ...RUN, ended_at: null } })), /until it was interrupted\.$/);
  assert.equal(sentences(page({ run: null })), "It has not run yet.");
});

test("sentence of a run of seconds has no from and to", () => {
  const run = { ...RUN, ended_at: "2026-11-28T22:04:07Z" };
  assert.match(sentences(page({ run, seconds: 7 })), /23:04 for 7 s\.$/);
});

test("sentence names the exit code of a run that ended early", () => {
  const run = { ...RUN, exit_code: 130, meaning: "interrupted; nothing is lost" };
  assert.match(sentences(page({ run })), /exit code 130: interrupted; nothing is lost\.$/);
  assert.doesNotMatch(sentences(page()), /exit code/);
});

test("subtitle names the run and its days", () => {
  assert.equal(subtitle(page({ run: { ...RUN, number: 2, of: 2 } })), "run 2 of 2 · Sat 28 Nov to Sun 29 Nov");
});

test("pace leaves out what is not known", () => {
  assert.equal(pace(HEAD), "22 images an hour · $0.0182 an image · 171 attempts");
  assert.equal(pace({ ...HEAD, seconds: 5, usd_per_image: null, attempts: 1 }), "1 attempt");
});

test("money adds credits only of providers without a price", () => {
  const bars = [
    { name: "aimlapi", usd: 1.2, credits: "90601" }, { name: "gptimageapi", usd: null, credits: "12" },
  ];
  assert.deepEqual(spent(page({}, bars)), { figure: "$2.59", rest: "+ 12 credits at gptimageapi" });
  assert.deepEqual(spent(page({ usd: null }, bars)), { figure: "12 credits", rest: "at gptimageapi" });
  assert.deepEqual(spent(page({ usd: null })), { figure: "No price known", rest: "" });
});

test("money line states what is left, at risk and lost", () => {
  assert.equal(moneyLine(HEAD), "$2.38 left · $0.0336 at risk · $0.0178 paid for failures");
  const budgets = [{ name: "batch", usd: "2.5912", spent_usd: "2.5912", unit: "USD" }];
  assert.match(moneyLine({ ...HEAD, budgets }), /^budget reached/);
});

test("budget of the last run only is not that of all spending", () => {
  const budgets = [{ name: "run", usd: "0.528", spent_usd: "0.527", unit: "USD" }];
  assert.equal(onlyBudget({ ...HEAD, budgets }), null);
  assert.doesNotMatch(moneyLine({ ...HEAD, budgets }), /left|reached/);
  assert.equal(onlyBudget(HEAD), HEAD.budgets[0]);
});

const AT = { generated_at: "2026-11-29T04:34:00Z", zone: 60 };
const PLACE = {
  submission: "5a", provider: "openai", account: null, jobs: 40, since: "2026-11-29T01:34:00Z", id: "batch_1",
  state: "submitted", deadline_at: "2026-11-30T01:34:00Z", collect_by: null, message: null, total: 40, completed: 12,
  reserved_usd: "1", reserved_credits: null,
};

test("place names provider, batch, age and deadline", () => {
  assert.equal(placeText(PLACE, AT),
    "openai, batch batch_1: 40 jobs since Sun 29 Nov, 02:34 (3 h); 12 of 40 carried out; ends by Mon 30 Nov, 02:34");
  const task = { ...PLACE, submission: null, id: null, deadline_at: null, total: null, completed: null, jobs: 1 };
  assert.equal(placeText({ ...task, account: "spare" }, AT), "openai (spare), remote tasks: 1 job since Sun 29 Nov, 02:34 (3 h)");
  assert.match(placeText({ ...PLACE, id: null, total: 0, completed: 0 }, AT), /^openai, batch, not submitted yet: 40 jobs [^;]*; ends by/);
});

test("savings are stated only where there are some", () => {
  const saved = { usd: "1.24", calls: 40, unknown: 0, modes: ["flex", "batch"] };
  assert.equal(savedText(saved), "Saved by flex and batch: $1.24 against the standard price of 40 calls.");
  assert.match(savedText({ ...saved, unknown: 2, modes: ["batch"] }), /^Saved by batch: .*; of 2 calls it is not known\.$/);
  assert.equal(savedText(null), "");
  assert.equal(savedText({ ...saved, usd: "0" }), "");
});

test("what is reserved is not left in the budget", () => {
  const budgets = [{ name: "batch", usd: "5", spent_usd: "3.0912", unit: "USD" }];
  assert.equal(moneyLine({ ...HEAD, at_risk_usd: "0", reserved_usd: "0.5", budgets }),
    "$1.91 left · $0.50 reserved for what is at the provider · $0.0178 paid for failures");
});
