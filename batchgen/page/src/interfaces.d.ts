/** Interfaces between the page's modules. */

import type { Detail, Mark, PageDocument } from "./types";

// --- marks ------------------------------------------------------------------------------------------------------

export type MarkChange = Partial<Pick<Mark, "mark" | "stars" | "note">>;

/** A mark of a file marks.json; one without mark, stars and note takes a mark away. */
export interface MarkEntry {
  id: string;
  picture: number;
  sha256: string;
  mark: "pick" | "reject" | null;
  stars: number;
  note: string;
  at: string;
}

export interface MarkStore {
  // marks.js
  get(row: number): Mark | undefined; // of the picture as it is now; a mark of a replaced picture is not returned
  replaced(row: number): Mark | undefined; // a mark of an earlier picture
  change(rows: Iterable<number>, change: MarkChange, title: string): void; // one step of undo; a toast offers it
  changeEach(changes: Map<number, MarkChange>, title: string, subject: string): void; // by row; one step of undo
  undo(): void;
  clear(): void;
  counts(): { pick: number; reject: number; stars: number; note: number };
  rows(mark: "pick" | "reject"): number[];
  marked(): number[]; // rows that have a mark, or had one before their picture was replaced
  entries(): MarkEntry[]; // of all marks that count
  merge(entries: MarkEntry[], whole?: boolean): number; // how many changed; the later of two counts
  onChange(listener: (rows: number[]) => void): void; // after changes made here; not after merge
  write(format: "json" | "csv"): void; // downloads marks.json / marks.csv
  read(file: File): Promise<void>; // takes such a file in
}

// --- view: what is shown; view.js ----------------------------------------------------------------------------------

export type Facet =
  | "state"
  | "mark"
  | "suspect"
  | "kind"
  | "provider"
  | "model"
  | "purchase" // the mode of the call; "mode" in the URL is that of the view
  | "tag"
  | "mime"
  | "size"
  | "cost"
  | "cause"
  | "c2pa"
  | "earlier"
  | "time";
export type Topic = "rows" | "cursor" | "selection" | "marks" | "open" | "size" | "data" | "auto" | "jump" | "reveal";

export interface View {
  rows: Uint32Array; // shown, in order
  groups: { title: string; start: number; count: number }[]; // of `rows`; empty: no groups
  cursor: number; // row of the tile, -1: none
  selection: Set<number>; // rows
  full: number; // row in full view, -1: none
  comparison: number[]; // rows in comparison
  mode: "result" | "slider" | "sides" | "before"; // of an edit in full view
  tile: number; // size in px
  auto: boolean; // auto-advance
  filter(facet: Facet, value: string, on?: boolean): void;
  only(facet: Facet, value: string): void; // clears all others but the state
  values(facet: Facet): string[]; // that are chosen
  clear(): void;
  query: string;
  sort: string;
  group: string;
  targets(): number[]; // the selection, or the cursor
  open(row: number, part?: "picture" | "note"): void;
  part: "picture" | "note"; // that gets the focus in full view
  close(): void;
  compare(rows: number[]): void;
  step(by: number): number; // the row `by` places after the full view's or the cursor's; -1 at the end
  position(row: number): number; // of the row among `rows`; -1: not shown
  mark(change: MarkChange, title: string, stay?: boolean): void; // full view or targets(); auto-advance
  move(row: number, extend?: boolean): void; // the cursor
  select(rows: Iterable<number>): void;
  toggle(row: number): void;
  jump(): void; // brings the pictures into sight
  emit(topic: Topic): void; // listeners are called in a microtask, once for a topic
  on(topic: Topic, listener: () => void): () => void; // returns what ends it
}

// --- the parts, each with one function that main.js calls ------------------------------------------------------------
// overview.js   overview(page: Page): HTMLElement        head: sentence, figures, budget, night, costs, needs
// facets.js bar.js grid.js                                grid section
// full.js       mountFull(page: Page): void              listens to "open"; owns keys while open
// compare.js    mountComparison(page: Page): void
// send_back.js  openSendBack(page: Page): void           help.js openHelp(page)
// toast.js      toast(text: string, action?: string, run?: () => void): void
// sheet.js      openSheet(title: string, body: HTMLElement): HTMLElement; closeSheet()
// live.js       connect(page: Page): void                only where document.live is there
// keys.js       addKeys(layer: KeyLayer)                 layers, the last one first: sheet > compare > full > grid

export interface KeyLayer {
  active(): boolean;
  down(event: KeyboardEvent): boolean;
  up?(event: KeyboardEvent): boolean;
}

export interface Page {
  document: PageDocument;
  view: View;
  marks: MarkStore;
  detail(row: number): Promise<Detail>; // details.js
  thumb(row: number): string; // URL
  image(row: number): string; // URL of the original
  prompt(row: number): string;
  toast(text: string, action?: string, run?: () => void): void;
}
