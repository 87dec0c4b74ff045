import { connect } from "./api/client";
import { startApp } from "./app";
import { loadConfig } from "./config";

const root = document.querySelector<HTMLElement>("#app");
if (!root) throw new Error("index.html has no #app");

try {
  const config = await loadConfig();
  await startApp(root, config, connect(config.apiUrl));
} catch (error) {
  const message = document.createElement("p");
  message.className = "error";
  message.role = "alert";
  message.textContent = `This page could not start: ${error instanceof Error ? error.message : String(error)}`;
  root.replaceChildren(message);
}
