import { defineConfig } from "vite";

// `vite build` makes the page that the server sends; `vite build --mode file` the page of one file that an export writes.
export default defineConfig(({ mode }) => ({
  base: "/",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: mode === "file" ? "../refold/http/page/file" : "../refold/http/page",
    emptyOutDir: true,
    target: "es2023",
    license: true,
    assetsInlineLimit: 0,
    modulePreload: false,
    cssCodeSplit: false,
    rolldownOptions: { output: { codeSplitting: mode !== "file" && { groups: [{ name: "index", tags: ["$initial"] }] } } },
  },
}));
