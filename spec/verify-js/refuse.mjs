// A refusal has a code of the pages, and words for people.
export class Refusal extends Error {
  constructor(code, why) {
    super(`${code}: ${why}`);
    this.code = code;
  }
}

export function refuse(code, why) {
  throw new Refusal(code, why);
}

// must refuses unless the condition holds.
export function must(holds, code, why) {
  if (!holds) refuse(code, why);
}
