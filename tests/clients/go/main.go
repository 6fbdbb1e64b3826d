// A command on top of the client, so that a test can drive it:
//
//	client publish --server HOST:PORT --topic TOPIC < EVENTS        (a serialized CloudEventBatch)
//	client subscribe --server HOST:PORT --group GROUP --count N TOPIC
package main

import (
	"context"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"

	cloudevents "tidings.example/client/stubs/io/cloudevents/v1"
	tidings "tidings.example/client/stubs/tidings/v1"
)

func main() {
	flags := flag.NewFlagSet("client", flag.ExitOnError)
	server := flags.String("server", "127.0.0.1:4480", "the bus")
	topic := flags.String("topic", "", "the topic to publish to")
	group := flags.String("group", "", "the group to subscribe with")
	count := flags.Int("count", 1, "end after so many different events")
	verb := os.Args[1]
	_ = flags.Parse(os.Args[2:]) // Ends the process where it fails.

	bus, err := Connect(*server)
	if err == nil && verb == "publish" {
		err = publish(bus, *topic)
	} else if err == nil {
		err = subscribe(bus, *group, *count, flags.Args())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Publishes what it reads; tells how many events are durable, or why they were refused.
func publish(bus *Bus, topic string) error {
	bytes, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	batch := &cloudevents.CloudEventBatch{}
	if err := proto.Unmarshal(bytes, batch); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	results, err := bus.Publish(ctx, topic, batch.Events...)
	if err == nil {
		fmt.Println("durable", len(results))
		return nil
	}
	fmt.Println("refused", reason(err))
	for _, fault := range detail[*errdetails.BadRequest](err).GetFieldViolations() {
		fmt.Println("fault", fault.Field)
	}
	return err
}

// Prints each delivery, one a line, until there were so many different events.
func subscribe(bus *Bus, group string, count int, topics []string) error {
	seen := map[string]bool{}
	return bus.Subscribe(context.Background(), group, "go", func(delivery *tidings.Delivery) error {
		bytes, err := proto.Marshal(delivery.Event)
		if err != nil {
			return err
		}
		position := delivery.Position
		fmt.Println(position.Topic, position.Partition, position.Offset, base64.StdEncoding.EncodeToString(bytes))
		// At least once: an event that comes again has the same source and id.
		seen[delivery.Event.Source+" "+delivery.Event.Id] = true
		if len(seen) == count {
			return ErrEnough
		}
		return nil
	}, topics...)
}
