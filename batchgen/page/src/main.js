/** Start of the page. */
import { Virtualizer } from "@tanstack/virtual-core";

const data = document.getElementById("data");
if (data) document.title = `${JSON.parse(data.textContent ?? "{}").batch ?? "batch"} (${typeof Virtualizer})`;
