/** Names of states, causes, kinds and suspects as the page shows them. */

/** @type {Record<string, string>} */
export const STATES = {
  done: "Done",
  failed: "Failed",
  unknown: "Unknown",
  pending: "Pending",
  running: "Running",
  at_provider: "At the provider",
  cancelled: "Cancelled",
};

/** @type {Record<string, string>} */
export const MARKS = {
  pick: "Picked",
  reject: "Rejected",
  none: "Unmarked",
  stars: "With stars",
  note: "With a note",
  replaced: "Replaced since marked",
  1: "1 star",
  2: "2 stars",
  3: "3 stars",
  4: "4 stars",
  5: "5 stars",
};

/** @type {Record<string, string>} */
export const MODES = { standard: "Standard", flex: "Flex", batch: "Batch" };

/** @type {Record<string, string>} */
export const KINDS = { generate: "From a prompt", edit: "Edits" };

/** @type {Record<string, string>} */
export const CAUSES = {
  throttled: "Throttled",
  unreached: "Unreached",
  money: "Out of money",
  denied: "Denied",
  refused: "Refused",
  invalid: "Invalid",
  empty: "Empty",
  spoiled: "Spoiled",
  error: "Error",
  unknown: "Unknown",
};

/** @type {Record<string, string>} */
export const SUSPECTS = {
  tiny: "Tiny",
  "one-colour": "One colour",
  "wrong-size": "Wrong size",
  "no-alpha": "No transparency",
  duplicate: "Duplicate",
  "near-duplicate": "Near duplicate",
  "same-as-source": "Same as its source",
  "no-c2pa": "No C2PA, unlike the others",
  unreadable: "Unreadable",
};
