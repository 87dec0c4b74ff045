import { describe, expect, it } from "vitest";
import { loadConfig, parseConfig } from "./config";

const good = { apiUrl: "https://api.test/", version: "abc", environment: "production" };

describe("the configuration", () => {
  it("is fetched past every cache", async () => {
    const seen: RequestInit[] = [];
    const config = await loadConfig((_url, init) => {
      seen.push(init ?? {});
      return Promise.resolve(Response.json(good));
    });
    expect(config).toEqual({ ...good, apiUrl: "https://api.test" });
    expect(seen).toEqual([{ cache: "no-store" }]);
  });

  it("is refused when the server has none", async () => {
    const missing = loadConfig(() => Promise.resolve(new Response("", { status: 404 })));
    await expect(missing).rejects.toThrow("/config.json answered 404");
  });

  it.each([null, "text", {}, { ...good, apiUrl: "" }, { ...good, version: 1 }])(
    "is refused when it is %j",
    (found) => {
      expect(() => parseConfig(found)).toThrow("/config.json");
    },
  );
});
