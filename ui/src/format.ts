// Numbers and times, short; what is exact stands in a title.

const UNITS: [number, string][] = [
  [1e9, "G"],
  [1e6, "M"],
  [1e3, "k"],
];

const THOUSANDS = /\B(?=(?:\d{3})+$)/g;

/** 30114 -> "30,114". Written by hand: what a browser formats numbers with takes it milliseconds to make. */
export function whole(number: number): string {
  const found = String(Math.round(number));
  return found.length < 4 ? found : found.replace(THOUSANDS, ",");
}

/** 1900000 -> "1.9 M", 38200 -> "38.2 k", 212 -> "212". */
export function short(number: number): string {
  for (const [size, unit] of UNITS) {
    if (Math.abs(number) >= size * 0.9995) {
      const found = number / size;
      return `${found.toFixed(Math.abs(found) >= 99.95 ? 0 : 1).replace(/\.0$/, "")} ${unit}`;
    }
  }
  return String(Math.round(number));
}

/** Bytes -> "61 MB". */
export function bytes(number: number): string {
  return number < 1000 ? `${number} B` : `${short(number).replace("G", "GB").replace("M", "MB").replace("k", "kB")}`;
}

/** Millionths of a dollar -> "$3.41", "$0.021", "$0". */
export function dollars(microusd: number): string {
  const found = microusd / 1e6;
  if (found === 0) return "$0";
  if (Math.abs(found) >= 100) return `$${whole(found)}`;
  if (Math.abs(found) >= 0.995) return `$${found.toFixed(2)}`;
  const digits = Math.min(Math.max(1 - Math.floor(Math.log10(Math.abs(found))), 2), 6);
  return `$${found.toFixed(digits)}`;
}

/** Microseconds -> "6 ms", "2.1 s", "14 s", "48 min", "3 h 5 min", "2 d 4 h". */
export function duration(us: number): string {
  const ms = us / 1000;
  if (ms < 0.5) return us > 0 ? "<1 ms" : "0 ms";
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 119.5) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h${minutes % 60 ? ` ${minutes % 60} min` : ""}`;
  return `${Math.floor(hours / 24)} d${hours % 24 ? ` ${hours % 24} h` : ""}`;
}

/** Microseconds since 1970 -> "14:02", or "14:02:07" with seconds, in the reader's own time. */
export function clock(us: number, seconds = false): string {
  const at = new Date(us / 1000);
  const two = (number: number) => String(number).padStart(2, "0");
  const minutes = `${two(at.getHours())}:${two(at.getMinutes())}`;
  return seconds ? `${minutes}:${two(at.getSeconds())}` : minutes;
}

/** Microseconds since 1970 -> "2026-11-01 14:02:07.123". */
export function moment(us: number): string {
  const at = new Date(us / 1000);
  const two = (number: number, width = 2) => String(number).padStart(width, "0");
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day} ${clock(us, true)}.${two(at.getMilliseconds(), 3)}`;
}

/** How long ago: "now", "5 min ago", "3 h ago", "12 d ago", then the day. */
export function ago(us: number, nowMs: number): string {
  const seconds = nowMs / 1000 - us / 1e6;
  if (seconds < 45) return "now";
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h ago`;
  if (seconds < 30 * 86400) return `${Math.round(seconds / 86400)} d ago`;
  return moment(us).slice(0, 10);
}

/** 0.92 -> "92 %". */
export function percent(share: number): string {
  const found = share * 100;
  return `${found > 0 && found < 1 ? "<1" : Math.round(found)} %`;
}

/** "1 turn", "412 turns". */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${whole(number)} ${number === 1 ? one : many}`;
}

/** The short name of a session: the end of its id, which is what differs. */
export function shortId(id: string): string {
  return id.length > 10 ? id.slice(-6) : id;
}
