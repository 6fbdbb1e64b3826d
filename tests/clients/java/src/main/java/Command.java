import com.google.rpc.BadRequest;
import io.cloudevents.v1.proto.CloudEventBatch;
import io.grpc.StatusException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;

/**
 * A command on top of the client, so that a test can drive it.
 *
 * <pre>
 * java Command publish --server HOST:PORT --topic TOPIC &lt; EVENTS        (a serialized CloudEventBatch)
 * java Command subscribe --server HOST:PORT --group GROUP --count N TOPIC
 * </pre>
 */
final class Command {
    public static void main(String[] arguments) throws Exception {
        var options = new HashMap<String, String>();
        var words = new ArrayList<String>();
        for (var at = 0; at < arguments.length; at++) {
            if (arguments[at].startsWith("--")) options.put(arguments[at].substring(2), arguments[++at]);
            else words.add(arguments[at]);
        }
        try (var bus = new Client(options.get("server"))) {
            if (words.get(0).equals("publish")) publish(bus, options);
            else subscribe(bus, options, words.subList(1, words.size()));
        } catch (StatusException error) {
            System.err.println(error.getMessage());
            System.exit(1);
        }
    }

    /** Publishes what it reads; tells how many events are durable, or why they were refused. */
    private static void publish(Client bus, Map<String, String> options) throws Exception {
        var events = CloudEventBatch.parseFrom(System.in).getEventsList();
        try {
            var results = bus.publish(options.getOrDefault("topic", ""), events, Duration.ofSeconds(30));
            System.out.println("durable " + results.size());
        } catch (StatusException error) {
            System.out.println("refused " + Client.reason(error));
            var faults = Client.detail(error, BadRequest.class).map(BadRequest::getFieldViolationsList).orElse(List.of());
            faults.forEach(fault -> System.out.println("fault " + fault.getField()));
            throw error;
        }
    }

    /** Prints each delivery, one a line, until there were so many different events. */
    private static void subscribe(Client bus, Map<String, String> options, List<String> topics) throws Exception {
        var count = Integer.parseInt(options.get("count"));
        var seen = new HashSet<String>();
        bus.subscribe(options.get("group"), topics, "java", delivery -> {
            var position = delivery.getPosition();
            var bytes = Base64.getEncoder().encodeToString(delivery.getEvent().toByteArray());
            System.out.println(position.getTopic() + " " + position.getPartition() + " " + position.getOffset() + " " + bytes);
            // At least once: an event that comes again has the same source and id.
            seen.add(delivery.getEvent().getSource() + " " + delivery.getEvent().getId());
            return seen.size() < count;
        });
    }
}
