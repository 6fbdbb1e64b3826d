// A client of Tidings: gRPC and the stubs generated from proto/, nothing else.
//
//	bus, err := Connect("127.0.0.1:4480")
//	results, err := bus.Publish(ctx, "", NewEvent("io.shop.orders.created", "/shop", "order-17", `{"total": 25}`))
//	err = bus.Subscribe(ctx, "billing", "billing-1", func(delivery *tidings.Delivery) error {
//		return charge(delivery.Event) // nil: the event is done; an error: it comes again
//	}, "io.shop.orders.resource")
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	cloudevents "tidings.example/client/stubs/io/cloudevents/v1"
	tidings "tidings.example/client/stubs/tidings/v1"
)

// Reasons after which the same call may succeed, unchanged.
var tryAgain = map[string]bool{"DRAINING": true, "LOG_UNAVAILABLE": true, "LOG_FULL": true, "LIMIT": true}

// Work on one delivery: nil means that it is done; an error, that the event is to come again.
type Work func(*tidings.Delivery) error

// ErrEnough is what the work on a delivery returns when it is done and wants no more of them.
var ErrEnough = errors.New("enough")

// Bus is a connection to the bus, for any number of goroutines.
type Bus struct {
	publisher  tidings.PublisherServiceClient
	subscriber tidings.SubscriberServiceClient
}

// Connect names the bus; the connection is made when it is needed, and again when it breaks.
func Connect(address string) (*Bus, error) {
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	return &Bus{tidings.NewPublisherServiceClient(connection), tidings.NewSubscriberServiceClient(connection)}, err
}

// NewEvent makes an event about `subject`, which is its key: events of one key stay in order.
func NewEvent(kind, source, subject, text string) *cloudevents.CloudEvent {
	type value = cloudevents.CloudEvent_CloudEventAttributeValue
	return &cloudevents.CloudEvent{
		Id: rand.Text(), Source: source, SpecVersion: "1.0", Type: kind,
		Data: &cloudevents.CloudEvent_TextData{TextData: text},
		Attributes: map[string]*value{
			"subject":         {Attr: &cloudevents.CloudEvent_CloudEventAttributeValue_CeString{CeString: subject}},
			"datacontenttype": {Attr: &cloudevents.CloudEvent_CloudEventAttributeValue_CeString{CeString: "application/json"}},
		},
	}
}

// Publish returns where the events are once all of them are durable. It tries until the deadline of ctx: set one.
func (bus *Bus) Publish(ctx context.Context, topic string, events ...*cloudevents.CloudEvent) ([]*tidings.PublishResult, error) {
	request := &tidings.PublishRequest{Topic: topic, Events: events}
	for {
		response, err := bus.publisher.Publish(ctx, request, grpc.WaitForReady(true))
		if err == nil || !waitToRetry(ctx, err) {
			return response.GetResults(), err
		}
	}
}

// Subscribe joins a group, whose streams share the events of the topics, and works on one delivery after the other. It
// opens a new stream where the server asks for it or is gone for a while. It ends with ErrEnough from work; nil means
// that everything acked is committed.
func (bus *Bus) Subscribe(ctx context.Context, group, clientID string, work Work, topics ...string) error {
	open := &tidings.Open{
		Group: group, Topics: topics, ClientId: clientID,
		Credit: &tidings.Credit{Events: 100}, CreditMode: tidings.CreditMode_CREDIT_MODE_ON_SETTLE,
	}
	for {
		enough, err := bus.stream(ctx, open, work)
		if enough || (err != nil && !waitToRetry(ctx, err)) {
			return err
		}
	}
}

// One stream, from its opening until the server ends it; whether work had enough.
func (bus *Bus) stream(ctx context.Context, open *tidings.Open, work Work) (enough bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := bus.subscriber.Subscribe(ctx, grpc.WaitForReady(true))
	if err != nil {
		return false, err
	}
	// Results of Send are not looked at: why a stream ended, Recv tells.
	_ = stream.Send(&tidings.SubscribeRequest{Frame: &tidings.SubscribeRequest_Open{Open: open}})
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return enough, nil // OK: everything acked is committed.
		} else if err != nil {
			return enough, err
		}
		for _, delivery := range response.GetDeliveries().GetDeliveries() {
			if enough {
				break // What was not worked on goes to another stream of the group.
			}
			result := work(delivery)
			_ = stream.Send(settle(delivery, result))
			if enough = errors.Is(result, ErrEnough); enough {
				_ = stream.Send(&tidings.SubscribeRequest{Frame: &tidings.SubscribeRequest_Close{Close: &tidings.Close{}}})
				_ = stream.CloseSend()
			}
		}
		// The server is about to stop. Everything it sent is settled by now: have that committed, then open elsewhere.
		if response.GetDrain() != nil && !enough {
			_ = stream.CloseSend()
		}
		// Other frames, and those that these stubs do not know, are not for us.
	}
}

// The frame that tells how the work on a delivery went.
func settle(delivery *tidings.Delivery, result error) *tidings.SubscribeRequest {
	ids := []uint64{delivery.Id}
	if result == nil || errors.Is(result, ErrEnough) {
		return &tidings.SubscribeRequest{Frame: &tidings.SubscribeRequest_Ack{Ack: &tidings.Ack{DeliveryIds: ids}}}
	}
	nack := &tidings.Nack{DeliveryIds: ids, Action: tidings.Action_ACTION_RETRY, Reason: result.Error()}
	return &tidings.SubscribeRequest{Frame: &tidings.SubscribeRequest_Nack{Nack: nack}}
}

// Waits until the same call may succeed; false if waiting does not help or there is no time for it.
func waitToRetry(ctx context.Context, err error) bool {
	// UNAVAILABLE without a reason is a connection that broke; with one that is not known, its code is what to go by.
	if status.Code(err) != codes.Unavailable && !tryAgain[reason(err)] {
		return false
	}
	delay := 200 * time.Millisecond
	if retry := detail[*errdetails.RetryInfo](err); retry != nil {
		delay = retry.GetRetryDelay().AsDuration()
	}
	select {
	case <-time.After(delay):
		return true
	case <-ctx.Done():
		return false
	}
}

// What to act on: the text is for people.
func reason(err error) string {
	if info := detail[*errdetails.ErrorInfo](err); info.GetDomain() == "tidings" {
		return info.GetReason()
	}
	return ""
}

// The detail of this kind in an error's status.
func detail[Kind any](err error) (found Kind) {
	for _, detail := range status.Convert(err).Details() {
		if detail, is := detail.(Kind); is {
			return detail
		}
	}
	return found
}
