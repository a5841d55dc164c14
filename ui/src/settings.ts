// What a browser remembers: sizes of panes, and whether single letters are keys. Nothing else.

import { effect, signal } from "@preact/signals";

export interface Settings {
  listWidth: number;
  inspectorWidth: number;
  hasList: boolean;
  hasInspector: boolean;
  /** Whether the timeline has its charts. */
  hasCharts: boolean;
  /** Whether the timeline cuts pauses short. */
  cutsPauses: boolean;
  /** Whether letters by themselves are keys (WCAG 2.1.4 wants that they can be turned off). */
  hasLetterKeys: boolean;
}

const KEY = "refold-page";
const DEFAULTS: Settings = { listWidth: 348, inspectorWidth: 380, hasList: true, hasInspector: true, hasCharts: true, cutsPauses: true, hasLetterKeys: true };

function remembered(): Settings {
  const found = { ...DEFAULTS };
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}") as Record<string, unknown>;
    for (const name of Object.keys(DEFAULTS) as (keyof Settings)[]) {
      if (typeof kept[name] === typeof DEFAULTS[name]) Object.assign(found, { [name]: kept[name] });
    }
  } catch {
    // an archive has no storage in some browsers: then nothing is remembered
  }
  return found;
}

export const settings = signal<Settings>(remembered());

effect(() => {
  const now = JSON.stringify(settings.value);
  try {
    localStorage.setItem(KEY, now);
  } catch {
    // as above
  }
});

/** Changes what is remembered. */
export function remember(change: Partial<Settings>): void {
  settings.value = { ...settings.peek(), ...change };
}
