"""What does the jobs of an OfflineQueue, on whatever adapters it is given."""

from chatd.clock import Clock
from chatd.config import Config
from chatd.fabric.offline_queue import Handlers, OfflineQueue
from chatd.fabric.presence_leases import PresenceLeases
from chatd.fabric.webhook_sender import WebhookSender
from chatd.metrics import Metrics
from chatd.services.mailboxes import Mailboxes
from chatd.services.overviews import Overviews
from chatd.services.pushes import OurWebhook, Pushes
from chatd.stores.conversation_store import ConversationStore
from chatd.stores.ledger import Ledger
from chatd.stores.webhook_store import WebhookStore


def handlers(
    config: Config,
    conversations: ConversationStore,
    ledger: Ledger,
    webhooks: WebhookStore,
    leases: PresenceLeases,
    queue: OfflineQueue,
    sender: WebhookSender,
    clock: Clock,
    metrics: Metrics,
) -> Handlers:
    ours = None
    if config.webhook_url:
        ours = OurWebhook(config.webhook_url, config.webhook_secret)
    pushes = Pushes(
        Overviews(conversations, ledger), leases, webhooks, sender, clock, metrics, ours
    )
    mailboxes = Mailboxes(conversations, leases, queue, pushes.wanting)
    return Handlers(mailboxes.note, pushes.push)
