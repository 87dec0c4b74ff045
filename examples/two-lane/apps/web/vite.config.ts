import { defineConfig } from "vitest/config";
import type { Plugin } from "vite";

/** What the web server answers in an environment, for `pnpm dev`. */
function developmentConfig(): Plugin {
  return {
    name: "development-config",
    configureServer(server) {
      server.middlewares.use("/config.json", (_request, response) => {
        const apiUrl = process.env.API_URL ?? "http://127.0.0.1:8000";
        response.setHeader("Content-Type", "application/json");
        response.end(JSON.stringify({ apiUrl, version: "dev", environment: "development" }));
      });
    },
  };
}

export default defineConfig({
  plugins: [developmentConfig()],
  build: { target: "es2022", sourcemap: true },
  test: { environment: "happy-dom" },
});
