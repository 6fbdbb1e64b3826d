// A command on top of the client, so that a test can drive it:
//
//     node command.js publish --server HOST:PORT --topic TOPIC < EVENTS        (a serialized CloudEventBatch)
//     node command.js subscribe --server HOST:PORT --group GROUP --count N TOPIC

import { parseArgs } from "node:util";
import { buffer } from "node:stream/consumers";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { Bus, faults, reason } from "./client.js";
import { CloudEventBatchSchema, CloudEventSchema } from "./stubs/io/cloudevents/v1/cloudevents_pb.js";

const string = { type: "string" };
const { values, positionals } = parseArgs({
  options: { server: string, topic: string, group: string, count: string },
  allowPositionals: true,
});
const [verb, ...topics] = positionals;
const bus = new Bus(values.server);
try {
  await (verb === "publish" ? publish() : subscribe());
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
bus.close();

/** Publishes what it reads; tells how many events are durable, or why they were refused. */
async function publish() {
  const { events } = fromBinary(CloudEventBatchSchema, await buffer(process.stdin));
  try {
    const results = await bus.publish(events, { topic: values.topic });
    console.log("durable", results.length);
  } catch (error) {
    console.log("refused", reason(error));
    for (const field of faults(error)) console.log("fault", field);
    throw error;
  }
}

/** Prints each delivery, one a line, until there were so many different events. */
async function subscribe() {
  const seen = new Set();
  const stream = bus.subscribe(values.group, topics, "node");
  for await (const delivery of stream) {
    const { topic, partition, offset } = delivery.position;
    const bytes = Buffer.from(toBinary(CloudEventSchema, delivery.event));
    console.log(topic, String(partition), String(offset), bytes.toString("base64"));
    stream.ack(delivery);
    // At least once: an event that comes again has the same source and id.
    seen.add(`${delivery.event.source} ${delivery.event.id}`);
    if (seen.size === Number(values.count)) stream.close();
  }
}
