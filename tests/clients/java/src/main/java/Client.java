import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.Message;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.cloudevents.v1.proto.CloudEvent;
import io.cloudevents.v1.proto.CloudEvent.CloudEventAttributeValue;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.Status;
import io.grpc.StatusException;
import io.grpc.protobuf.StatusProto;
import io.tidings.v1.Ack;
import io.tidings.v1.Action;
import io.tidings.v1.Close;
import io.tidings.v1.Credit;
import io.tidings.v1.CreditMode;
import io.tidings.v1.Delivery;
import io.tidings.v1.Nack;
import io.tidings.v1.Open;
import io.tidings.v1.PublishRequest;
import io.tidings.v1.PublishResult;
import io.tidings.v1.PublisherServiceGrpc;
import io.tidings.v1.SubscribeRequest;
import io.tidings.v1.SubscriberServiceGrpc;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.UUID;

/**
 * A client of Tidings: gRPC and the stubs generated from proto/, nothing else. For any number of threads.
 *
 * <pre>
 * try (var bus = new Client("127.0.0.1:4480")) {
 *     bus.publish("", List.of(Client.event("io.shop.orders.created", "/shop", "order-17", "{}")), Duration.ofSeconds(30));
 *     bus.subscribe("billing", List.of("io.shop.orders.resource"), "billing-1", delivery -> {
 *         charge(delivery.getEvent()); // Returns: the event is done. Throws: it comes again.
 *         return true;
 *     });
 * }
 * </pre>
 */
final class Client implements AutoCloseable {
    /** Reasons after which the same call may succeed, unchanged. */
    private static final Set<String> TRY_AGAIN = Set.of("DRAINING", "LOG_UNAVAILABLE", "LOG_FULL", "LIMIT");

    /** The work on one delivery; tells whether it wants more of them. */
    interface Work {
        boolean on(Delivery delivery) throws Exception;
    }

    private final ManagedChannel channel;

    Client(String address) {
        channel = Grpc.newChannelBuilder(address, InsecureChannelCredentials.create()).build();
    }

    /** An event about {@code subject}, which is its key: events of one key stay in order. */
    static CloudEvent event(String type, String source, String subject, String text) {
        var json = CloudEventAttributeValue.newBuilder().setCeString("application/json").build();
        return CloudEvent.newBuilder()
                .setId(UUID.randomUUID().toString()).setSource(source).setSpecVersion("1.0").setType(type)
                .putAttributes("subject", CloudEventAttributeValue.newBuilder().setCeString(subject).build())
                .putAttributes("datacontenttype", json)
                .setTextData(text).build();
    }

    /** Returns where the events are once all of them are durable. Tries until the timeout. */
    List<PublishResult> publish(String topic, List<CloudEvent> events, Duration timeout)
            throws StatusException, InterruptedException {
        var request = PublishRequest.newBuilder().setTopic(topic).addAllEvents(events).build();
        var deadline = Instant.now().plus(timeout);
        while (true) {
            var left = Duration.between(Instant.now(), deadline);
            try {
                var publisher = PublisherServiceGrpc.newBlockingV2Stub(channel).withWaitForReady().withDeadlineAfter(left);
                return publisher.publish(request).getResultsList();
            } catch (StatusException error) {
                waitToRetry(error, deadline);
            }
        }
    }

    /**
     * Joins a group, whose streams share the events of the topics, and works on one delivery after the other. Opens a new
     * stream where the server asks for it or is gone for a while. When it returns, everything acked is committed.
     */
    void subscribe(String group, List<String> topics, String clientId, Work work) throws StatusException, InterruptedException {
        var open = Open.newBuilder().setGroup(group).addAllTopics(topics).setClientId(clientId)
                .setCredit(Credit.newBuilder().setEvents(100)).setCreditMode(CreditMode.CREDIT_MODE_ON_SETTLE);
        var more = true;
        while (more) {
            var stream = SubscriberServiceGrpc.newBlockingV2Stub(channel).withWaitForReady().subscribe();
            try {
                stream.write(SubscribeRequest.newBuilder().setOpen(open).build());
                // Null is the end with OK: everything acked is committed.
                for (var response = stream.read(); response != null; response = stream.read()) {
                    for (var delivery : response.getDeliveries().getDeliveriesList()) {
                        if (!more) break; // What was not worked on goes to another stream of the group.
                        var settled = SubscribeRequest.newBuilder();
                        try {
                            more = work.on(delivery);
                            settled.setAck(Ack.newBuilder().addDeliveryIds(delivery.getId()));
                        } catch (Exception failure) {
                            settled.setNack(Nack.newBuilder().addDeliveryIds(delivery.getId())
                                    .setAction(Action.ACTION_RETRY).setReason(String.valueOf(failure.getMessage())));
                        }
                        stream.write(settled.build());
                        if (!more) {
                            stream.write(SubscribeRequest.newBuilder().setClose(Close.getDefaultInstance()).build());
                            stream.halfClose();
                        }
                    }
                    // The server is about to stop. Everything it sent is settled by now: have that committed, then open
                    // elsewhere.
                    if (response.hasDrain() && more) stream.halfClose();
                    // Other frames, and those that these stubs do not know, are not for us.
                }
            } catch (StatusException error) {
                if (!more) throw error; // What was acked last may not be committed.
                waitToRetry(error, Instant.MAX);
            }
        }
    }

    @Override
    public void close() {
        channel.shutdownNow();
    }

    /** What to act on: the text is for people. */
    static String reason(StatusException error) {
        var ours = detail(error, ErrorInfo.class).filter(info -> info.getDomain().equals("tidings"));
        return ours.map(ErrorInfo::getReason).orElse("");
    }

    /** The detail of this kind in an error's status. */
    static <Kind extends Message> Optional<Kind> detail(StatusException error, Class<Kind> kind) {
        return StatusProto.fromThrowable(error).getDetailsList().stream().filter(packed -> packed.is(kind)).findFirst()
                .map(packed -> unpack(packed, kind));
    }

    private static <Kind extends Message> Kind unpack(Any packed, Class<Kind> kind) {
        try {
            return packed.unpack(kind);
        } catch (InvalidProtocolBufferException damaged) {
            throw new IllegalArgumentException("read a detail of a status", damaged);
        }
    }

    /** Waits until the same call may succeed; throws what will not get better by waiting. */
    private static void waitToRetry(StatusException error, Instant deadline) throws StatusException, InterruptedException {
        // UNAVAILABLE without a reason is a connection that broke; with one that is not known, its code is what to go by.
        if (error.getStatus().getCode() != Status.Code.UNAVAILABLE && !TRY_AGAIN.contains(reason(error))) throw error;
        var delay = detail(error, RetryInfo.class).map(RetryInfo::getRetryDelay)
                .map(wait -> Duration.ofSeconds(wait.getSeconds(), wait.getNanos())).orElse(Duration.ofMillis(200));
        if (Instant.now().plus(delay).isAfter(deadline)) throw error;
        Thread.sleep(delay.toMillis());
    }
}
