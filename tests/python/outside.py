"""What anybody can see of leadrelay from outside: rows, queues, messages. Shares no code with it.

Everything here only looks: messages are put back by closing the channel.
"""

import hashlib
import json
import unicodedata

import idna
import pika
from azure.core.exceptions import ResourceNotFoundError
from azure.data.tables import TableClient
from pika.exceptions import ChannelClosedByBroker

RETRY_DELAYS = ["5s", "30s", "2m", "10m", "1h", "6h"]


def normalised_email(text):
    """Two addresses are one person's if they are equal after this."""
    local, _, domain = unicodedata.normalize("NFC", text.strip()).lower().rpartition("@")
    try:
        domain = idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        pass  # left as typed: it names nobody else either
    return f"{local}@{domain}"


def lead_of(email, offer):
    """What makes a lead one lead, as text that can be a JSON member's name."""
    return f"{normalised_email(email)} {offer.strip().lower()}"


def lead_of_row(row):
    return lead_of(row["Email"], row["ProductId"])


def actions_of_row(row):
    """The actions of a row's journey, in its order."""
    return [step["action"] for step in json.loads(row["Journey"])]


def digest(body):
    """Names a message by what nobody may change about it."""
    return hashlib.sha256(body).hexdigest()


def rows(connection_string, table):
    """Every row of a table; none of a table that does not exist (yet)."""
    with TableClient.from_connection_string(connection_string, table) as client:
        try:
            return [dict(entity) for entity in client.list_entities()]
        except ResourceNotFoundError:
            return []


def count_rows(connection_string, table):
    """How many rows, reading nothing else of them."""
    with TableClient.from_connection_string(connection_string, table) as client:
        try:
            return sum(1 for _ in client.list_entities(select=["PartitionKey"]))
        except ResourceNotFoundError:
            return 0


def connect(url):
    return pika.BlockingConnection(pika.URLParameters(url))


def working_queues(prefix, destinations):
    """The queues in which a message still has something before it, thus all but the dead letters'."""
    waits = [f"{prefix}.wait.{name}" for name in destinations]
    return [f"{prefix}.consent", *waits, *(f"{prefix}.retry.{delay}" for delay in RETRY_DELAYS)]


def depths(connection, queues):
    """How many messages are ready in each queue. What a worker holds unacknowledged is not among them."""
    found = {}
    for queue in queues:
        channel = connection.channel()
        try:
            found[queue] = channel.queue_declare(queue, passive=True).method.message_count
            channel.close()
        except ChannelClosedByBroker as error:
            if error.reply_code != 404:
                raise
            found[queue] = 0  # wait queues exist from their first need on
    return found


def messages(connection, queue):
    """Every ready message of a queue. Closing the channel puts them all back where they were."""
    channel = connection.channel()
    found = []
    try:
        while True:
            method, properties, body = channel.basic_get(queue)
            if method is None:
                break
            found.append(
                {
                    "queue": queue,
                    "message_id": properties.message_id,
                    "content_type": properties.content_type,
                    "delivery_mode": properties.delivery_mode,
                    "routing_key": method.routing_key,
                    "headers": properties.headers or {},
                    "digest": digest(body),
                    "body": body,
                }
            )
        channel.close()
    except ChannelClosedByBroker as error:
        if error.reply_code != 404:
            raise
    return found
