//! The events that are delivered, and how they come into the queues.

use futures_util::future::try_join_all;
use jiff::Timestamp;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Connection, PublisherConfirm};
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

/// Confirms awaited together: more at once is no faster.
const WINDOW: usize = 500;
const CHANNELS: usize = 4;

/// Which lead of which offer, in the order in which they are published.
pub type Order = Vec<(u32, u32)>;

/// `leads` leads, evenly over `offers` offers.
pub fn distinct(leads: u32, offers: u32) -> Order {
    (0..leads).map(|lead| (lead, lead % offers)).collect()
}

/// Every lead twice, at random distance: `events` events.
pub fn twice(events: u32, offers: u32) -> Order {
    let once = distinct(events / 2, offers);
    let mut order = [once.clone(), once].concat();
    order.shuffle(&mut SmallRng::seed_from_u64(1));
    order
}

/// The n-th offer has a share of 1/n.
pub fn zipf(leads: u32, offers: u32) -> Order {
    let mut total = 0.0;
    let shares = (1..=offers).map(|rank| {
        total += 1.0 / f64::from(rank);
        total
    });
    let shares: Vec<f64> = shares.collect();
    let mut random = SmallRng::seed_from_u64(2);
    let mut draw = || shares.partition_point(|share| *share < random.random_range(0.0..total)) as u32;
    (0..leads).map(|lead| (lead, draw().min(offers - 1))).collect()
}

/// The `offer`-th of all offers, spread over so many publishers.
pub fn offer(offer: u32, publishers: u32) -> String {
    format!("publisher{}.offer-of-the-catalogue-{offer}", offer % publishers)
}

/// 610 bytes or so, as the marketplace writes them. `run` makes other people of them.
pub fn event(run: &str, lead: u32, offer: &str, at: Timestamp) -> String {
    format!(
        r#"{{"EventId":"{run}-{lead}","OccurredAt":"{at}","Source":"AzureMarketplace","Action":"INS","Offer":"{offer}","OfferDisplayName":"Load balancer for virtual machines","PublisherDisplayName":"Contoso Networks","Description":"Interest shown on the page of the offer","Consent":{{"Granted":true,"At":"{at}","Agreement":"lead-terms-2018-05"}},"CustomerInfo":{{"FirstName":"Dashan{lead}","LastName":"Liang","Email":"person-{lead}@run-{run}.example","Phone":"+86 10 {lead:08}","Country":"CN","Company":"Company number {lead}","Title":"Chief Technology Officer"}}}}"#
    )
}

pub fn properties(id: String) -> BasicProperties {
    BasicProperties::default()
        .with_delivery_mode(2)
        .with_content_type("application/json".into())
        .with_message_id(id.into())
}

/// Publishes to the exchange, as producers do; every message is confirmed.
pub async fn fill(url: &str, exchange: &str, run: &str, order: &Order, publishers: u32) -> anyhow::Result<()> {
    let connection = Connection::connect(url, Default::default()).await?;
    let at = leadrelay::clock::Clock::System.now();
    let part = order.len().div_ceil(CHANNELS).max(1);
    let parts = order.chunks(part).map(|part| async {
        let channel = confirming(&connection).await?;
        for window in part.chunks(WINDOW) {
            let mut confirms = Vec::with_capacity(WINDOW);
            for (lead, number) in window {
                let offer = offer(*number, publishers);
                let body = event(run, *lead, &offer, at);
                confirms.push(publish(&channel, exchange, &offer, body, format!("{run}-{lead}")).await?);
            }
            for confirm in try_join_all(confirms).await? {
                anyhow::ensure!(confirm.is_ack(), "the broker refused a message");
            }
        }
        anyhow::Ok(())
    });
    try_join_all(parts).await?;
    // Dropped, a connection closes; all that mattered is confirmed.
    Ok(())
}

pub async fn confirming(connection: &Connection) -> anyhow::Result<Channel> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

pub async fn publish(
    channel: &Channel,
    exchange: &str,
    offer: &str,
    body: String,
    id: String,
) -> anyhow::Result<PublisherConfirm> {
    let options = BasicPublishOptions::default();
    Ok(channel.basic_publish(exchange.into(), offer.into(), options, body.as_bytes(), properties(id)).await?)
}
