// Verifies deliveries with the standard's own library: a line of JSON {secret, headers, body} in, "ok" or the error's name out.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { Webhook } = createRequire(process.argv[2] + "/")("standardwebhooks");
for await (const line of createInterface({ input: process.stdin })) {
  const { secret, headers, body } = JSON.parse(line);
  try {
    new Webhook(secret).verify(body, headers);
    console.log("ok");
  } catch (error) {
    console.log(error.constructor.name);
  }
}
