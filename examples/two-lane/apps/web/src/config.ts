/** What the server tells the page at run time, so that one build serves every environment. */
export interface Config {
  /** Where the api answers, without a slash at the end. */
  readonly apiUrl: string;
  /** The commit that this page was built from. */
  readonly version: string;
  readonly environment: string;
}

/** Fetches `/config.json`. Rejects if it is not there or not what it should be. */
export async function loadConfig(get: typeof fetch = fetch): Promise<Config> {
  const response = await get("/config.json", { cache: "no-store" });
  if (!response.ok) {
    throw new Error(`/config.json answered ${String(response.status)}`);
  }
  const found: unknown = await response.json();
  return parseConfig(found);
}

export function parseConfig(found: unknown): Config {
  if (typeof found !== "object" || found === null) {
    throw new Error("/config.json is not an object");
  }
  const text = (key: keyof Config): string => {
    const value: unknown = Reflect.get(found, key);
    if (typeof value !== "string" || value === "") {
      throw new Error(`/config.json has no "${key}"`);
    }
    return value;
  };
  return {
    apiUrl: text("apiUrl").replace(/\/+$/, ""),
    version: text("version"),
    environment: text("environment"),
  };
}
