/** Plays a message over its waveform; its words can be clicked, and show where it is. */
import { html, signal, useEffect, useMemo, useRef, useState } from "../lib.js";
import { get } from "../api.js";
import { clock } from "../format.js";
import { t } from "../i18n.js";
import { Transcript } from "./transcript.js";
import { Icon } from "./ui.js";

const NEXT_SPEED = { 1: 1.25, 1.25: 1.5, 1.5: 2, 2: 0.8, 0.8: 1 };
/** Stays for the next message: who hears many in a row chooses once. */
const speed = signal(1);
/** How far the keys lead along the message, in seconds. */
const STEPS = { ArrowRight: 2, ArrowUp: 2, ArrowLeft: -2, ArrowDown: -2, PageUp: 10, PageDown: -10 };
/** A message is drawn against its loudest part, but hardly anything not against itself: in percent. */
const QUIETEST = 8;

/** @param {{message: any, onPlayed?: () => void, onChanged: (message: any) => void}} props */
export function Player({ message, onPlayed, onChanged }) {
  const audio = useRef(null);
  const heard = useRef(false);
  const [at, setAt] = useState(0);
  const [playing, setPlaying] = useState(false);
  const [broken, setBroken] = useState(false);
  const [length, setLength] = useState(message.seconds ?? 0);
  useEffect(() => {
    if (!playing) return undefined;
    let frame = requestAnimationFrame(function follow() {
      setAt(audio.current?.currentTime ?? 0);
      frame = requestAnimationFrame(follow);
    });
    return () => cancelAnimationFrame(frame);
  }, [playing]);
  useEffect(() => { audio.current.defaultPlaybackRate = audio.current.playbackRate = speed.value; }, [speed.value]);
  const play = () => audio.current.play().catch((error) => error.name !== "AbortError" && setBroken(true));
  const playOrPause = () => (playing ? audio.current.pause() : play());
  const seek = (seconds, andPlay = false) => {
    audio.current.currentTime = seconds;
    setAt(seconds);
    if (andPlay) play();
  };
  const keys = (event) => {
    const step = STEPS[event.key];
    if (!step && event.key !== " ") return;
    event.preventDefault();
    if (step) seek(Math.min(Math.max(at + step, 0), length));
    else playOrPause();
  };
  return html`
    <div class="player">
      <audio ref=${audio} preload="none" src=${`/api/messages/${encodeURIComponent(message.id)}/audio`}
        onPlay=${() => setPlaying(true)} onPause=${() => setPlaying(false)}
        onSeeked=${(event) => setAt(event.target.currentTime)}
        onLoadedMetadata=${(event) => Number.isFinite(event.target.duration) && setLength(event.target.duration)}
        onPlaying=${() => { if (!heard.current) { heard.current = true; onPlayed?.(); } }}
        onError=${() => setBroken(true)}></audio>
      <button type="button" class="play" aria-label=${t(playing ? "player.pause" : "player.play")} aria-keyshortcuts="Alt+P"
        onClick=${playOrPause}><${Icon} name=${playing ? "pause" : "play"} size=${22} /></button>
      <button type="button" class="quiet" onClick=${() => seek(Math.max(0, at - 5))} title=${t("player.back5")}>−5 s</button>
      <div class="seek-box"><${Wave} id=${message.id} share=${length ? Math.min(at / length, 1) : 0} />
        <input type="range" class="seek" min="0" max=${length || 1} step="0.1" value=${at} aria-label=${t("player.position")}
          aria-valuetext=${t("player.at", { at: clock(at), length: clock(length) })} onKeyDown=${keys}
          onInput=${(event) => seek(Number(event.target.value))} /></div>
      <span class="time">${clock(at)} / ${clock(length)}</span>
      <button type="button" class="quiet" onClick=${() => (speed.value = NEXT_SPEED[speed.value])}
        aria-label=${t("player.speed", { n: `${speed.value}×` })}>${speed.value}×</button>
    </div>
    ${broken && html`<p class="notice bad" role="alert"><${Icon} name="alert" />${t("player.broken")}</p>`}
    <${Transcript} message=${message} at=${at} seek=${(seconds) => seek(seconds, true)} onChanged=${onChanged} />
  `;
}

/** How loud the message is over its length, what was played in colour; the slider over it says the same in words. */
function Wave({ id, share }) {
  const [loudness, setLoudness] = useState(/** @type {number[]} */ ([]));
  useEffect(() => {
    let current = true;
    // Without it there is the slider.
    get(`/messages/${encodeURIComponent(id)}/waveform`).then((found) => current && setLoudness(found.loudness), () => {});
    return () => { current = false; };
  }, [id]);
  const lines = useMemo(() => {
    const loudest = Math.max(QUIETEST, ...loudness);
    return loudness.map((one, place) => {
      const half = Math.max(1.5, Math.sqrt(one / loudest) * 48); // as ears do, the root makes more of what is faint
      return `M${place + 0.5} ${50 - half}V${50 + half}`;
    }).join("");
  }, [loudness]);
  if (!lines) return null;
  return html`
    <svg class="wave" viewBox=${`0 0 ${loudness.length} 100`} preserveAspectRatio="none" aria-hidden="true" focusable="false">
      <path d=${lines} /><svg width=${share * loudness.length} height="100"><path class="played" d=${lines} /></svg>
    </svg>
  `;
}
