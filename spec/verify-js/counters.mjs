// Which counters of a line were accepted (envelope.md, "Counters").
import { must } from './refuse.mjs';

const WINDOW = 4096n, JUMP = 1048576n;

// Counters remembers at most so many lines, and mail by its id.
export class Counters {
  constructor(limit) {
    Object.assign(this, { limit, lines: new Map(), mail: new Set() });
  }

  // begin accepts counters of a line from the first one on.
  begin(line, first) {
    must(this.lines.has(line) || this.lines.size < this.limit, 'window_full', 'no room for one more sender');
    if (!this.lines.has(line)) this.lines.set(line, { first, highest: first - 1n, used: new Set() });
  }

  // use accepts a counter, once.
  use(line, counter) {
    const l = this.lines.get(line);
    must(l, 'unknown', 'this topic of the process was not joined');
    const near = counter >= l.first && counter + WINDOW > l.highest && counter <= l.highest + JUMP;
    must(near && !l.used.has(counter), 'replayed', 'counter was used, or lies too far off');
    l.used.add(counter);
    if (counter > l.highest) l.highest = counter;
  }

  useMail(name) {
    must(!this.mail.has(name), 'replayed', 'mail came before');
    this.mail.add(name);
  }
}
