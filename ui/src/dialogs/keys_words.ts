// Keys as people know them.

const NAMES: Record<string, string> = { escape: "esc", down: "↓", up: "↑", left: "←", right: "→", pagedown: "page down", pageup: "page up" };

/** "ctrl+shift+f" -> "ctrl shift F"; "gg" -> "g g"; "down" -> "↓". */
export function keyWords(key: string): string {
  if (key.includes("+") && key.length > 1) {
    const parts = key.split("+");
    return parts.map((part, number) => (number === parts.length - 1 && part.length === 1 ? part.toUpperCase() : (NAMES[part] ?? part))).join(" ");
  }
  return key === "gg" ? "g g" : (NAMES[key] ?? key);
}
