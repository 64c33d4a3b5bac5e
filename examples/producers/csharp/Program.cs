// Publishes consent events so that none is lost: persistent, mandatory, and confirmed by the broker.
//
// usage: AMQP_URL=amqp://… dotnet run events.jsonl
//
// Ends with 1 if an event was not confirmed. Publish those again, under the same EventId: the worker knows a repeat.
// Unverified: written after the client's documentation, and neither compiled nor run by leadrelay's tests.

using System.Text.Json;
using RabbitMQ.Client;
using RabbitMQ.Client.Exceptions;

string Setting(string name, string otherwise) =>
    Environment.GetEnvironmentVariable(name) is { Length: > 0 } value ? value : otherwise;

var factory = new ConnectionFactory { Uri = new Uri(Setting("AMQP_URL", "amqp://guest:guest@127.0.0.1:5672/%2f")) };
var exchange = Setting("EXCHANGE", "leads");
await using var connection = await factory.CreateConnectionAsync();
// With tracking, BasicPublishAsync ends when the broker has confirmed, and fails when it returned or refused.
await using var channel = await connection.CreateChannelAsync(new CreateChannelOptions(
    publisherConfirmationsEnabled: true, publisherConfirmationTrackingEnabled: true));

var (confirmed, failed) = (0, 0);
foreach (var line in File.ReadLines(args[0]))
{
    using var document = JsonDocument.Parse(line);
    var id = document.RootElement.GetProperty("EventId").GetString()!;
    var offer = document.RootElement.GetProperty("Offer").GetString()!;
    var properties = new BasicProperties
    {
        ContentType = "application/json",
        DeliveryMode = DeliveryModes.Persistent,
        MessageId = id,
        AppId = "example-producer",
    };
    try
    {
        await channel.BasicPublishAsync(exchange, offer, mandatory: true, properties, System.Text.Encoding.UTF8.GetBytes(line));
        confirmed++;
    }
    catch (PublishException problem)
    {
        failed++;
        Console.WriteLine($"{id}: " + (problem.IsReturn
            ? "returned: no queue is bound to the exchange"
            : "refused: the queue is full"));
    }
}
Console.WriteLine($"{confirmed} confirmed, {failed} not");
return failed > 0 ? 1 : 0;
