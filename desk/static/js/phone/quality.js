/** How good a call sounds, from what the browser counts of it: pure, so that it can be tested by itself. */

/** Shares of lost packets, and seconds, from which on a call is weak or bad (ITU-T G.114 for the way there and back). */
const LIMITS = { loss: [0.02, 0.06], jitter: [0.03, 0.07], roundTrip: [0.3, 0.6] };
/** So long (ms) nothing may come before we say that nothing is heard. */
export const SILENT_AFTER = 4000;

/**
 * @typedef {{packets: number, lost: number, jitter: number, roundTrip: number|null}} Counted
 * @typedef {{grade: "good"|"weak"|"bad", loss: number, jitter: number, roundTrip: number|null, silent: boolean}} Quality
 */

/** What is needed of a report of `RTCPeerConnection.getStats`. @param {Iterable<any>} report @returns {Counted} */
export function counted(report) {
  const found = { packets: 0, lost: 0, jitter: 0, roundTrip: null };
  for (const one of report) {
    if (one.type === "inbound-rtp" && one.kind === "audio") {
      found.packets += one.packetsReceived ?? 0;
      found.lost += one.packetsLost ?? 0;
      found.jitter = Math.max(found.jitter, one.jitter ?? 0);
    } else if (one.type === "remote-inbound-rtp" && one.roundTripTime !== undefined) {
      found.roundTrip = one.roundTripTime;
    } else if (one.type === "candidate-pair" && one.nominated && one.currentRoundTripTime !== undefined) {
      found.roundTrip ??= one.currentRoundTripTime;
    }
  }
  return found;
}

/** Watches one call: give it what was counted every second or two. */
export class Listener {
  /** @param {number} at  ms */
  constructor(at) {
    this.last = { packets: 0, lost: 0 };
    this.heardAt = at;
  }

  /**
   * @param {Counted} now
   * @param {number} at  ms
   * @param {boolean} expected  whether anything should be heard: not on hold, not while somebody else is rung
   * @returns {Quality}
   */
  next(now, at, expected) {
    const came = now.packets - this.last.packets;
    const lost = Math.max(now.lost - this.last.lost, 0);
    if (came > 0 || !expected) this.heardAt = at;
    this.last = now;
    const loss = came + lost > 0 ? lost / (came + lost) : 0;
    const values = { loss, jitter: now.jitter, roundTrip: now.roundTrip ?? 0 };
    const over = (step) => Object.entries(LIMITS).some(([name, limits]) => values[name] >= limits[step]);
    const silent = at - this.heardAt >= SILENT_AFTER;
    return { grade: silent || over(1) ? "bad" : over(0) ? "weak" : "good", loss, jitter: now.jitter, roundTrip: now.roundTrip, silent };
  }
}
