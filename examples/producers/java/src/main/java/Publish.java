import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Publishes consent events so that none is lost: persistent, mandatory, and confirmed by the broker.
 *
 * <p>usage: AMQP_URL=amqp://… java Publish events.jsonl
 *
 * <p>Ends with 1 if an event was not confirmed. Publish those again, under the same EventId: the worker knows a repeat.
 */
public final class Publish {
    private static final int PERSISTENT = 2;
    private static final long PATIENCE_MILLIS = 60_000;

    private final Channel channel;
    private final String exchange;
    private final Set<String> returned = ConcurrentHashMap.newKeySet();

    private Publish(Channel channel, String exchange) throws Exception {
        this.channel = channel;
        this.exchange = exchange;
        channel.confirmSelect();
        channel.addReturnListener(message -> returned.add(message.getProperties().getMessageId()));
    }

    /** What went wrong, or null: then the event is on disk, and leadrelay's. */
    private String publish(JsonNode event) throws Exception {
        String id = event.get("EventId").asText();
        AMQP.BasicProperties properties = new AMQP.BasicProperties.Builder()
                .contentType("application/json")
                .deliveryMode(PERSISTENT)
                .messageId(id)
                .appId("example-producer")
                .build();
        boolean mandatory = true;
        channel.basicPublish(
                exchange, event.get("Offer").asText(), mandatory, properties, new ObjectMapper().writeValueAsBytes(event));
        // One by one: plain, and slow. Who has many counts sequence numbers in a ConfirmListener.
        if (!channel.waitForConfirms(PATIENCE_MILLIS)) {
            return "refused: the queue is full";
        }
        // A message that no queue takes is returned first, and then confirmed all the same.
        return returned.remove(id) ? "returned: no queue is bound to the exchange" : null;
    }

    private static String setting(String name, String otherwise) {
        String value = System.getenv(name);
        return value == null || value.isEmpty() ? otherwise : value;
    }

    public static void main(String[] arguments) throws Exception {
        List<JsonNode> events = new ArrayList<>();
        for (String line : Files.readAllLines(Path.of(arguments[0]))) {
            events.add(new ObjectMapper().readTree(line));
        }
        ConnectionFactory factory = new ConnectionFactory();
        factory.setUri(setting("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/%2f"));
        int failed = 0;
        try (Connection connection = factory.newConnection(); Channel channel = connection.createChannel()) {
            Publish producer = new Publish(channel, setting("EXCHANGE", "leads"));
            for (JsonNode event : events) {
                String problem = producer.publish(event);
                if (problem != null) {
                    failed++;
                    System.out.println(event.get("EventId").asText() + ": " + problem);
                }
            }
        }
        System.out.println((events.size() - failed) + " confirmed, " + failed + " not");
        System.exit(failed > 0 ? 1 : 0);
    }
}
