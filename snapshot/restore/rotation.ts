/** Work that can be done ahead of need, a piece at a time. */
export interface AheadOfNeed {
  /** Does one piece; answers how long there is nothing to do, in ms: 0 for not at all, -1 if that is unknown. */
  prefetch(): number;
}

/** Lets several do their work ahead of need in turns, a piece each, so that none waits until another has finished. */
export class Rotation {
  private readonly members: AheadOfNeed[] = [];
  private turn = 0;

  add(member: AheadOfNeed): void {
    this.members.push(member);
  }

  remove(member: AheadOfNeed): void {
    const index = this.members.indexOf(member);
    if (index >= 0) this.members.splice(index, 1);
  }

  /** One piece of the first in turn who has one; the answer is as prefetch()'s, for all of them. */
  prefetch(): number {
    const { length } = this.members;
    let rest_ms = -1;
    for (let looked = 0; looked < length; looked++) {
      this.turn = (this.turn + 1) % length;
      const wait_ms = (this.members[this.turn] as AheadOfNeed).prefetch();
      // One that has left meanwhile has moved the others: who was looked at is not known then.
      if (wait_ms === 0 || this.members.length !== length) return 0;
      if (wait_ms > 0) rest_ms = rest_ms < 0 ? wait_ms : Math.min(rest_ms, wait_ms);
    }
    return rest_ms;
  }
}
