// Questions to the page's own server.

import { STRINGS } from "./strings.js";

// Sends a body to the server and returns its answer; an error has the server's own words.
export async function ask(path, body, parameters = {}, type = "application/octet-stream") {
  const query = new URLSearchParams(parameters).toString();
  const options = body === undefined ? {} : { method: "POST", body, headers: { "content-type": type } };
  let response;
  try {
    response = await fetch(`/api/${path}${query && `?${query}`}`, options);
  } catch {
    throw new Error(STRINGS.unreachable);
  }
  const answer = await response.json();
  if (!response.ok) {
    throw new Error(answer.error);
  }
  return answer;
}

// Returns a function that runs an asynchronous task with at most one in flight: the latest call wins, others are left out.
export function latest(task, failed) {
  let running = false;
  let next = null;
  return async function call(...values) {
    next = values;
    if (running) {
      return;
    }
    running = true;
    try {
      while (next) {
        const current = next;
        next = null;
        await task(...current, () => next === null);
      }
    } catch (error) {
      next = null;
      failed(error);
    } finally {
      running = false;
    }
  };
}
