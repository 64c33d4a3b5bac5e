//! The office, taking letters in beside a worker, on a paused clock.

mod support;

use std::time::Duration;

use leadrelay::broker::Queue;
use support::world::{World, raw};

/// A full disk, a locked file, a lost mount: the letters stay where they are safe, and deliveries go on.
#[tokio::test(start_paused = true)]
async fn an_office_that_cannot_write_leaves_the_letters_in_their_queue_and_takes_them_in_once_when_it_can() {
    let mut world = World::new(&["contoso"]);
    world.ingest = true;
    let life = world.start().await;
    // It is taking in when it fails, and has letters in hand.
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.letters.fail(true);
    for n in 0..300 {
        world.broker.put(raw(format!("not json {n}")));
        if n % 50 == 49 {
            world.put(&support::world::Event::new(&format!("{n}@example.com"), "contoso.appliance"));
        }
    }
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    assert_eq!(world.dead().len(), 300);
    assert_eq!(life.metric("leadrelay_office_up"), 0.0);
    assert_eq!(world.destination("contoso").holdings().len(), 6, "what can be delivered is");
    world.letters.fail(false);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!((world.letters.all().len(), world.broker.messages(&Queue::Dead).len()), (300, 0));
    assert_eq!(life.metric("leadrelay_office_up"), 1.0);
    let taken_in = |how| life.metric(&format!("leadrelay_office_taken_in_total{{result=\"{how}\"}}"));
    assert_eq!((taken_in("new"), taken_in("same")), (300.0, 0.0));
    life.stop().await;
}
