//! Decoding is on the path of every message: what it allocates is counted, so that it does not grow unseen.

#![expect(unsafe_code, reason = "an allocator that counts is one")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use bytes::Bytes;
use jiff::Timestamp;
use leadrelay::domain::envelope::{Message, Properties};
use leadrelay::domain::event::decode;

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SAMPLE: &str = r#"{
  "EventId": "e-1", "OccurredAt": "2026-11-22T03:04:05Z",
  "Source": "AzureMarketplace", "Action": "INS", "Offer": "arraynetworks.ArrayLoadBalancervAPV",
  "OfferDisplayName": "vAPV", "PublisherDisplayName": "Array", "Description": "d", "Campaign": {"deep": [1, 2]},
  "Consent": { "Granted": true, "At": "2026-11-22T03:04:00Z", "Agreement": "lead-terms-2018-05" },
  "CustomerInfo": { "FirstName": "Dashan", "LastName": "Liang", "Email": "ldashan@example.com",
                    "Phone": "1234567890", "Country": "CN", "Company": "Contoso", "Title": "CTO" } }"#;

#[test]
fn decoding_allocates_little_more_than_the_strings_of_the_event() {
    let message = Message { body: Bytes::from_static(SAMPLE.as_bytes()), properties: Properties::default() };
    let received: Timestamp = "2026-11-22T04:00:00Z".parse().unwrap();
    decode(&message, received).unwrap();
    let before = COUNT.with(Cell::get);
    let decoded = decode(&message, received).unwrap();
    let allocations = COUNT.with(Cell::get) - before;
    drop(decoded);
    // 15 strings of the event and the offer in its two forms; the rest is for judging the address.
    assert!(allocations <= 24, "{allocations} allocations");
}
