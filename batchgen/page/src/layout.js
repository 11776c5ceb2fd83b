/** Layout of the grid: which tiles are in which line, where a line lies, and where an arrow leads. Pure. */

/** @typedef {{title: string, start: number, count: number}} Group */
/** @typedef {{heading: number, start: number, end: number}} Line a heading (number of its group, else -1) or tiles */

export class GridLayout {
  /**
   * @param {number} count tiles
   * @param {Group[]} groups none: one group without a heading
   * @param {{columns: number, line: number, heading: number}} sizes heights in px
   */
  constructor(count, groups, { columns, line, heading }) {
    this.columns = columns;
    this.lineHeight = line;
    this.headingHeight = heading;
    this.headings = groups.length > 0 ? 1 : 0;
    this.groups = groups.length ? groups : [{ title: "", start: 0, count }];
    this.firsts = new Uint32Array(this.groups.length + 1); // the first line of each group
    this.groups.forEach((group, index) => {
      this.firsts[index + 1] = this.firsts[index] + this.headings + Math.ceil(group.count / columns);
    });
  }

  get lines() {
    return this.firsts[this.groups.length];
  }

  /** The last group whose first value is not above the given one.
   * @param {(group: number) => number} first @param {number} value */
  #search(first, value) {
    let low = 0,
      high = this.groups.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (first(middle) <= value) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** @param {number} line */
  groupOf(line) {
    return this.#search((group) => this.firsts[group], line);
  }

  /** @param {number} line @returns {Line} */
  at(line) {
    const number = this.groupOf(line),
      group = this.groups[number],
      inside = line - this.firsts[number] - this.headings;
    if (inside < 0) return { heading: number, start: group.start, end: group.start };
    const start = group.start + inside * this.columns;
    return { heading: -1, start, end: Math.min(start + this.columns, group.start + group.count) };
  }

  /** @param {number} line */
  height(line) {
    return this.headings && this.firsts[this.groupOf(line)] === line ? this.headingHeight : this.lineHeight;
  }

  /** Distance of a line from the top of the grid. @param {number} line */
  offset(line) {
    if (!this.headings) return line * this.lineHeight;
    const group = this.groupOf(line),
      headings = group + (line > this.firsts[group] ? 1 : 0);
    return headings * this.headingHeight + (line - headings) * this.lineHeight;
  }

  /** @param {number} position of a tile @returns {{line: number, column: number}} */
  place(position) {
    const group = this.#search((number) => this.groups[number].start, position);
    const inside = position - this.groups[group].start;
    const line = this.firsts[group] + this.headings + Math.floor(inside / this.columns);
    return { line, column: inside % this.columns };
  }

  /** The tile above or below: in the same column, or the last of a shorter line.
   * @param {number} position @param {number} by */
  vertical(position, by) {
    const { line, column } = this.place(position);
    let next = line + by;
    if (next >= 0 && next < this.lines && this.at(next).heading >= 0) next += by;
    if (next < 0 || next >= this.lines) return position;
    const { start, end } = this.at(next);
    return Math.min(start + column, end - 1);
  }
}
