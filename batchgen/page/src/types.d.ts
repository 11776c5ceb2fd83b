/** Data that the report carries; with the interfaces between the page's modules. */

// --- data: written by app/report/document.py -------------------------------------------------------------------

export interface PageDocument {
  schema_version: 1;
  generated_at: string; // ISO, UTC
  version: string; // of batchgen
  database: string; // its id: marks are kept under it
  sandbox: boolean;
  batch: string;
  about: string; // which part of the batch: "run …", "since …", "--tag autumn"; "": all of it
  manifest: string; // as a user types it from the working folder
  zone: number; // minutes east of UTC of the machine that wrote the report
  root: string; // URL of the working folder's files relative to the page: "../../"
  folder: string; // the output folder as paths begin: "output/autumn/", "/data/out/"
  folder_url: string; // its URL relative to the page: "../"
  buckets: Record<string, string>; // URLs of other buckets with pictures, by how paths begin: "s3://old/"
  commands: Commands;
  head: Head;
  night: Night;
  costs: Record<"provider" | "model" | "tag" | "kind" | "day" | "mode", CostBar[]>;
  savings: Savings | null; // null: of no call known
  needs: Need[];
  at_provider: RemotePlace[];
  words: Words;
  tiles: Tiles;
  inline?: Record<string, string>; // sha -> data: URL of the thumbnail (--single-file)
  details?: Detail[]; // one a job; absent: in chunks
  chunk?: number; // jobs in each chunk script data/NNNN.js
  live?: Live; // under `batchgen serve`
}

/** Relative URLs of the server; null: read only. */
export interface Live {
  events: string;
  files: string;
  details: string;
  marks: string | null;
  actions: string | null;
}

/** Commands without a selection; the page appends " --id 'x'". They hold the manifest and --sandbox etc. already. */
export interface Commands {
  run: string;
  retry: string;
  redo: string;
  collect: string;
  show: string;
  list: string;
  export: string;
  marks_import: string;
}

export interface Head {
  run: {
    id: string;
    number: number;
    of: number;
    started_at: string;
    ended_at: string | null;
    exit_code: number | null;
    meaning: string;
  } | null;
  jobs: {
    total: number;
    pending: number;
    running: number;
    done: number;
    failed: number;
    unknown: number;
    cancelled: number;
    at_provider: number; // of the running ones
  };
  images: number;
  attempts: number;
  usd: string | null; // decimal; null: no price known
  unpriced: number; // attempts without a price in USD
  credits: Record<string, string>; // by provider
  at_risk_usd: string;
  lost_usd: string; // paid for attempts that failed
  reserved_usd: string | null; // for calls that are at a provider
  budgets: { name: string; usd: string; spent_usd: string; unit: "USD" | "credits" }[];
  seconds: number; // that runs were in progress
  in_progress: boolean;
  images_per_hour: number | null;
  usd_per_image: string | null;
  waits: string[]; // why jobs wait, one sentence each: "4 jobs wait: gptimageapi is out of money"
}

export interface Night {
  from: string;
  to: string; // ISO
  step: number; // seconds of one bar
  bars: number[]; // images delivered in each step
  usd: (number | null)[]; // spent in each step
  lanes: {
    name: string;
    ticks: number[];
    spans: { kind: "throttled" | "outage" | "closed" | "paused"; from: number; to: number; message: string }[];
  }[]; // times: seconds after `from`
  gaps: { from: number; to: number }[]; // between runs: cut out of the axis or hatched
}

export interface CostBar {
  name: string;
  usd: number | null;
  credits: string | null; // where they are of one provider
  credits_by_provider: Record<string, string>;
  images: number;
  attempts: number;
  reserved_usd: string | null; // for calls that are at a provider
}

/** What calls in a cheaper mode saved against the standard price, where both prices are known. */
export interface Savings {
  usd: string;
  calls: number;
  unknown: number; // charged calls in a cheaper mode whose standard price is not known
  modes: string[];
}

/** The calls of a submission, or the remote tasks at an account, that have not ended. */
export interface RemotePlace {
  submission: string | null; // null: remote tasks
  provider: string;
  account: string | null;
  jobs: number;
  since: string; // ISO
  id: string | null; // of the batch at the provider
  state: string | null; // of the submission
  deadline_at: string | null; // when the provider gives up what is not done
  collect_by: string | null; // when the results vanish
  message: string | null;
  total: number | null; // calls, as the provider counts them
  completed: number | null;
  reserved_usd: string | null;
  reserved_credits: string | null;
}

export interface Need {
  state: "failed" | "unknown" | "pending" | "at_provider";
  cause: string; // its word: refused
  title: string; // "Refused"
  count: number;
  meaning: string; // what it means
  todo: string; // what to do; "": nothing
  example: string; // the provider's own words
  usd: string | null;
  at_risk_usd: string | null; // money lost, or at risk
  reserved_usd: string | null; // for calls that are at a provider
  ids: string[]; // at most 200
  command: string; // to copy
  prompts: { id: string; prompt: string; message: string }[]; // of refused jobs, to edit as CSV; empty otherwise
  edit_command: string | null; // the command that takes the CSV back
}

export interface Words {
  state: string[];
  provider: string[];
  model: string[];
  kind: string[];
  tag: string[];
  mime: string[];
  cause: string[];
  prompt: string[]; // distinct prompts
  suspect: string[]; // kinds
  mode: string[];
  source: Source[]; // distinct input images of edits, and masks
}

export interface Source {
  path: string;
  url: string | null;
  sha: string;
  width: number;
  height: number;
  alpha?: boolean; // has transparency
}

/** Columns of equal length, a row for each tile; numbers into `words` where not stated otherwise. */
export interface Tiles {
  count: number;
  key: string[];
  job: number[]; // index of the job, from 0, in manifest order
  ordinal: number[]; // of the picture, from 0; -1: the job has no picture
  state: number[];
  provider: number[];
  model: number[];
  kind: number[];
  cause: number[]; // -1: none
  prompt: number[];
  tags: (number[] | 0)[]; // 0: none
  usd: (number | null)[]; // of this picture (its share); null: unknown
  credits: (number | null)[];
  bytes: number[];
  width: number[];
  height: number[];
  mime: number[]; // 0, -1 where no picture
  at: number[]; // Unix seconds of delivery, or of the last attempt; 0: none
  seconds: number[]; // the call took
  sha: string[]; // first 16 hex digits of the file's SHA-256; "": no picture
  path: string[]; // relative to the working folder; "": no picture
  mode?: number[]; // in which the call was bought, -1: none yet; absent: all of them are standard
  alpha: number[]; // rows with transparency
  gone: number[]; // rows whose file is not on the disk any more
  no_thumb: number[]; // rows of pictures without a thumbnail
  c2pa: number[]; // rows that carry C2PA
  sources: Record<number, number[]>; // row -> words.source (edits)
  mask: Record<number, number>; // row -> words.source
  suspects: Record<number, [kind: number, other: number, detail: string][]>; // other: row, -1 none
  earlier: Record<
    number,
    { sha: string; path: string; width: number; height: number; alpha?: boolean; at: number; prompt?: string }[]
  >; // earlier forms of the picture
  marks: Record<number, Mark>; // in the database when the report was written
}

export interface Detail {
  parameters: Record<string, unknown>; // everything the job asks for, but the prompt
  attempts: {
    id: string;
    run: string;
    provider: string;
    model: string;
    account: string | null;
    at: string;
    seconds: number | null;
    state: string;
    cause: string | null;
    message: string | null;
    status: number | null;
    request_id: string | null;
    usd: string | null;
    credits: string | null;
    basis: string | null;
    charged: string | null;
    mode?: string; // absent: standard
    tier?: string; // that the answer states
    standard_usd?: string; // its price in the standard mode, where that is another one and known
    at_provider?: boolean;
    reserved_usd?: string;
    task?: string; // id of the remote task
    submission?: string;
  }[];
  files: {
    ordinal: number;
    path: string;
    sha256: string;
    bytes: number;
    width: number;
    height: number;
    mime: string;
    sidecar: string | null;
    at: string;
  }[];
  copies: { path: string; name: string }[];
  message: string | null;
  note: string | null; // of redo --note
  yaml: string; // the job as a manifest entry
}

export interface Mark {
  mark: "pick" | "reject" | null;
  stars: number;
  note: string;
  at: string;
  sha: string;
}

export * from "./interfaces";
