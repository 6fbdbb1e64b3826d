//! Random histories: what is restored is what a model of the rule says, from the log, from snapshots, and in part.

use std::collections::BTreeMap;

use tidings::proto::{
    io::cloudevents::v1::CloudEvent,
    tidings::v1::{Change, Cleanup, Position, Positions, RestoreRequest, Start, start::At},
};

use super::{
    Restored, Store, create_topic, event, orders, publish_keyless, restore, restoring::next_millisecond, snapshot,
    try_restore,
};
use crate::harness::{Server, clients::request};

const STEPS: usize = 25;
const KEYS: usize = 12;

/// The rule as people say it, over the events of each key in their order.
#[derive(Default)]
struct Model {
    /// Since the key was deleted last: the newest resource event and the newest other one.
    keys: BTreeMap<String, (Option<usize>, Option<usize>)>,
    count: usize,
    keyless: i64,
}

impl Model {
    fn event(&mut self, happening: &str, key: &str) -> CloudEvent {
        let id = self.count;
        self.count += 1;
        match happening {
            "deleted" => {
                self.keys.remove(key);
            }
            "created" | "replaced" | "patched" => self.keys.entry(key.to_owned()).or_default().0 = Some(id),
            _ => self.keys.entry(key.to_owned()).or_default().1 = Some(id),
        }
        event(id, happening, key)
    }

    fn ids(&self) -> BTreeMap<String, String> {
        let state = |(key, (resource, other)): (&String, &(Option<usize>, Option<usize>))| {
            let id = resource.or(*other).expect("one of them");
            (key.clone(), id.to_string())
        };
        self.keys.iter().map(state).collect()
    }
}

async fn step(server: &Server, model: &mut Model, random: &mut fastrand::Rng) {
    let happenings = ["created", "replaced", "patched", "deleted", "completed", "shipped"];
    let events: Vec<CloudEvent> = (0..random.usize(1..30))
        .map(|_| model.event(happenings[random.usize(..6)], &format!("k{}", random.usize(..KEYS))))
        .collect();
    server.try_publish(request(events)).await.expect("publish");
    if random.u8(..8) == 0 {
        publish_keyless(server, 1_000_000).await;
        model.keyless += 1;
    }
    if random.u8(..10) == 0 {
        next_millisecond().await;
        server.publish(vec![event(2_000_000, "deletedAll", "k0")]).await;
        next_millisecond().await;
        model.keys.clear();
    }
}

/// What a client has that was at some positions and then got what has changed since.
fn applied(before: &Restored, changes: &Restored) -> BTreeMap<String, String> {
    let mut states: BTreeMap<String, CloudEvent> = BTreeMap::new();
    for state in before.states.iter().chain(&changes.states) {
        let key = state
            .key
            .as_ref()
            .map(|key| String::from_utf8(key.to_vec()).expect("text"));
        let event = state.event.clone().expect("an event");
        match (state.change(), key) {
            (Change::AllDeleted, None) => states.clear(),
            (Change::Deleted, Some(key)) => {
                states.remove(&key);
            }
            (Change::SetUnlessResource, Some(key)) if states.get(&key).is_some_and(is_resource) => {}
            (_, Some(key)) => {
                states.insert(key, event);
            }
            (change, None) => panic!("{change:?} without a key"),
        }
    }
    states.into_iter().map(|(key, event)| (key, event.id)).collect()
}

fn is_resource(event: &CloudEvent) -> bool {
    ["created", "replaced", "patched"]
        .iter()
        .any(|happening| event.r#type.ends_with(happening))
}

fn since(positions: &[Position]) -> RestoreRequest {
    let positions = Positions {
        positions: positions.to_vec(),
    };
    RestoreRequest {
        since: Some(Start {
            at: Some(At::Positions(positions)),
        }),
        ..orders()
    }
}

async fn run(seed: u64) {
    let store = Store::new();
    // Little memory, so that some of it is spilled.
    let server = Server::start_with(&store.config("memory = \"4MiB\"\nkeep = 2")).await;
    create_topic(&server, 3, Cleanup::Delete).await;
    let (mut model, mut random) = (Model::default(), fastrand::Rng::with_seed(seed));
    let mut earlier = restore(&server).await;
    for number in 0..STEPS {
        step(&server, &mut model, &mut random).await;
        let restored = restore(&server).await;
        assert_eq!(
            restored.ids(),
            model.ids(),
            "seed {seed}, step {number}, from {:?}",
            restored.source()
        );
        let changes = try_restore(&server, since(&earlier.caught_up.positions))
            .await
            .expect("restore");
        assert_eq!(
            applied(&earlier, &changes),
            model.ids(),
            "seed {seed}, step {number}: since {:?}",
            earlier.caught_up
        );
        if random.u8(..3) == 0 {
            let taken = snapshot(&server).await;
            assert_eq!(
                taken.keys,
                i64::try_from(model.keys.len()).expect("few"),
                "seed {seed}, step {number}"
            );
            assert_eq!(taken.keyless_events, model.keyless, "seed {seed}, step {number}");
        }
        if random.bool() {
            earlier = restored;
        }
    }
}

#[tokio::test]
async fn what_is_restored_is_what_a_model_says_after_random_histories() {
    for seed in [1, 2] {
        run(seed).await;
    }
}
