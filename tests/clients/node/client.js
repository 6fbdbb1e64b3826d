// A client of Tidings: gRPC and the stubs generated from proto/, nothing else. 64-bit integers are BigInt: exact.
//
//     const bus = new Bus("127.0.0.1:4480");
//     await bus.publish([event("io.shop.orders.created", "/shop", "order-17", '{"total": 25}')]);
//     const stream = bus.subscribe("billing", ["io.shop.orders.resource"]);
//     for await (const delivery of stream) {
//       console.log(delivery.event);
//       stream.ack(delivery);
//     }

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import grpc from "@grpc/grpc-js";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./stubs/google/rpc/error_details_pb.js";
import { StatusSchema } from "./stubs/google/rpc/status_pb.js";
import { CloudEventSchema } from "./stubs/io/cloudevents/v1/cloudevents_pb.js";
import { PublisherService, PublishRequestSchema } from "./stubs/tidings/v1/publisher_pb.js";
import { Action, CreditMode, SubscribeRequestSchema, SubscriberService } from "./stubs/tidings/v1/subscriber_pb.js";

// Reasons after which the same call may succeed, unchanged.
const TRY_AGAIN = new Set(["DRAINING", "LOG_UNAVAILABLE", "LOG_FULL", "LIMIT"]);

/** An event about `subject`, which is its key: events of one key stay in order. */
export function event(type, source, subject, text) {
  const string = (value) => ({ attr: { case: "ceString", value } });
  const attributes = { subject: string(subject), datacontenttype: string("application/json") };
  const data = { case: "textData", value: text };
  return create(CloudEventSchema, { id: randomUUID(), source, specVersion: "1.0", type, attributes, data });
}

/** A connection to the bus. */
export class Bus {
  constructor(address) {
    const connect = (service) =>
      new (grpc.makeGenericClientConstructor(definition(service)))(address, grpc.credentials.createInsecure());
    this.publisher = connect(PublisherService);
    this.subscriber = connect(SubscriberService);
  }

  /** Returns where the events are once all of them are durable. Tries until the deadline. */
  async publish(events, { topic = "", timeoutMs = 30_000 } = {}) {
    const request = create(PublishRequestSchema, { events, topic });
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      try {
        return (await unary(this.publisher, "publish", request, { deadline })).results;
      } catch (error) {
        await waitToRetry(error, deadline);
      }
    }
  }

  /** Joins a group: its streams share the events of the topics. */
  subscribe(group, topics, clientId = "") {
    const credit = { events: 100n };
    return new Stream(this.subscriber, { group, topics, clientId, credit, creditMode: CreditMode.ON_SETTLE });
  }

  close() {
    this.publisher.close();
    this.subscriber.close();
  }
}

/** Deliveries of a group. Ack each when its work is done; what is not acked comes again, here or elsewhere. */
export class Stream {
  constructor(subscriber, opening) {
    Object.assign(this, { subscriber, opening, closed: false });
  }

  /** Yields deliveries until `close`; opens a new stream where the server asks for it or is gone for a while. */
  async *[Symbol.asyncIterator]() {
    while (!this.closed) {
      this.call = this.subscriber.subscribe(ready());
      this.send("open", this.opening);
      try {
        for await (const { frame } of this.call) {
          for (const delivery of frame.case === "deliveries" ? frame.value.deliveries : []) {
            if (!this.closed) yield delivery; // Those after `close` go to another stream of the group.
          }
          // The server is about to stop. Everything it sent is settled by now: have that committed, then open elsewhere.
          if (frame.case === "drain") this.call.end();
          // Other frames, and those that these stubs do not know, are not for us.
        }
      } catch (error) {
        if (this.closed) throw error; // What was acked last may not be committed.
        await waitToRetry(error);
      }
    }
  }

  ack(delivery) {
    this.send("ack", { deliveryIds: [delivery.id] });
  }

  /** The work failed: the event comes again, and events of its key wait for it. */
  retry(delivery, reason) {
    this.send("nack", { deliveryIds: [delivery.id], action: Action.RETRY, reason });
  }

  /** Ends the loop over this stream as soon as everything acked is committed. */
  close() {
    this.closed = true;
    this.send("close", {});
    this.call.end();
  }

  send(name, value) {
    this.call.write(create(SubscribeRequestSchema, { frame: { case: name, value } }));
  }
}

/** What to act on: the text is for people. */
export function reason(error) {
  return details(error, ErrorInfoSchema).find((info) => info.domain === "tidings")?.reason ?? "";
}

/** The fields of the request that are wrong. */
export function faults(error) {
  return details(error, BadRequestSchema).flatMap((request) => request.fieldViolations.map(({ field }) => field));
}

/** Waits until the same call may succeed; throws what will not get better by waiting. */
async function waitToRetry(error, deadline = Infinity) {
  // UNAVAILABLE without a reason is a connection that broke; with one that is not known, its code is what to go by.
  if (error.code !== grpc.status.UNAVAILABLE && !TRY_AGAIN.has(reason(error))) throw error;
  const [retry] = details(error, RetryInfoSchema);
  const delay = retry?.retryDelay ? Number(retry.retryDelay.seconds) * 1000 + retry.retryDelay.nanos / 1e6 : 200;
  if (Date.now() + delay >= deadline) throw error;
  await sleep(delay);
}

/** The details of this kind in an error's status. */
function details(error, kind) {
  const [packed] = error.metadata?.get("grpc-status-details-bin") ?? [];
  const status = packed ? fromBinary(StatusSchema, packed) : create(StatusSchema);
  return status.details.map((detail) => anyUnpack(detail, kind)).filter((detail) => detail !== undefined);
}

/** A call waits for the connection rather than fail without it. */
const ready = () => new grpc.Metadata({ waitForReady: true });

const unary = (client, method, request, options) =>
  new Promise((resolve, reject) =>
    client[method](request, ready(), options, (error, response) => (error ? reject(error) : resolve(response))),
  );

/** What grpc-js wants to know of a service, from the stubs. */
function definition(service) {
  const describe = ({ name, localName, methodKind, input, output }) => [
    localName,
    {
      path: `/${service.typeName}/${name}`,
      requestStream: ["client_streaming", "bidi_streaming"].includes(methodKind),
      responseStream: ["server_streaming", "bidi_streaming"].includes(methodKind),
      requestSerialize: (message) => Buffer.from(toBinary(input, message)),
      responseDeserialize: (bytes) => fromBinary(output, bytes),
    },
  ];
  return Object.fromEntries(service.methods.map(describe));
}
