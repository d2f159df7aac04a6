/** The few names of Preact, signals and htm that the pages use, in one place. */
import { h, render, Fragment } from "preact";
import { useCallback, useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { batch, computed, effect, signal, useComputed, useSignal } from "@preact/signals";
import htm from "htm";

export const html = htm.bind(h);
export { batch, computed, effect, Fragment, render, signal, useCallback, useComputed, useEffect, useId };
export { useLayoutEffect, useMemo, useRef, useSignal, useState };
