//! A connection of which some partitions are not known yet.

use crate::{
    Config,
    link::Link,
    place::{Mark, Place},
    reach::Reach,
};
use kindred_plugin_api::{Context, options};
use rdkafka::{
    ClientConfig, Message as _,
    mocking::MockCluster,
    producer::{BaseProducer, BaseRecord, Producer as _},
};
use std::time::Duration;

fn taken(link: &mut Link, context: &Context, most: usize) -> Vec<(i32, i64)> {
    let mut seen = Vec::new();
    let taken = link.take(context, most, |lane, message| {
        seen.push((lane.partition, message.offset()));
        true
    });
    taken.unwrap();
    seen
}

#[test]
fn partitions_that_are_added_are_read_from_their_beginning_and_take_their_turn() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 4, 1).unwrap();
    let address = cluster.bootstrap_servers();
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", &address).create().unwrap();
    for number in 0..12 {
        producer.send(BaseRecord::<str, str>::to("t").partition(number % 4).payload("{}")).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
    let config = format!(r#"{{ "brokers": "{address}", "topics": "t", "identifiers": {{ "u": "id" }} }}"#);
    let config: Config = options::parse(&config).unwrap();
    let context = Context::detached(".");
    let reach = Reach::new(&config, &context);
    let mut place = Place::default();
    place.set("t", 1, Mark { next: 1, era: 0 });

    let mut link = Link::over(&reach, &place, &[("t".to_owned(), 1), ("t".to_owned(), 3)]).unwrap();
    assert_eq!(taken(&mut link, &context, 3), [(1, 1), (1, 2), (3, 0)]);
    link.note(&mut place);
    link.tend(&context, &place).unwrap();
    assert_eq!(link.backlog(), 2, "they are looked for from time to time only");
    link.look_now();
    link.tend(&context, &place).unwrap();
    assert_eq!(link.backlog(), 8);
    let rest = [(3, 1), (3, 2), (0, 0), (0, 1), (0, 2), (2, 0), (2, 1), (2, 2)];
    assert_eq!(taken(&mut link, &context, 100), rest);
    link.note(&mut place);
    let ends: Vec<_> = place.marks().map(|(_, partition, mark)| (partition, mark.next)).collect();
    assert_eq!(ends, [(0, 3), (1, 3), (2, 3), (3, 3)]);
}
