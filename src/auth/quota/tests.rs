use proptest::{collection::vec, prelude::*};

use super::{
    meters::{MOST_METERS, SWEEP},
    *,
};
use crate::auth::{Digest, Identity, Owner, Tokens};

async fn principal(name: &str, tenant: &str) -> Arc<Principal> {
    let owner = Owner {
        name: name.to_owned(),
        tenant: Tenant::new(tenant),
    };
    let identity = Identity {
        tokens: Tokens::new([(Digest::of("t"), owner)]),
        ..Identity::default()
    };
    identity
        .by_token("t", std::time::SystemTime::now())
        .await
        .expect("known")
}

fn quota(who: Who) -> Quota {
    Quota {
        who,
        publish_events_per_second: None,
        publish_bytes_per_second: None,
        streams: None,
        outstanding_bytes: None,
        replay_events_per_second: None,
    }
}

fn all() -> Vec<Wildcard> {
    vec![Wildcard::new("*")]
}

#[tokio::test]
async fn a_tenants_principals_share_what_it_has_and_each_has_its_own() {
    let quotas = Quotas::new([
        Quota {
            streams: Some(2),
            ..quota(Who::Tenants(all()))
        },
        Quota {
            streams: Some(1),
            ..quota(Who::Principals(vec![Wildcard::new("token:a")]))
        },
    ]);
    let meters = Meters::default();
    let of = async |name: &str, tenant: &str| quotas.of(&*principal(name, tenant).await, &meters);
    let (a, b, other, nobodys) = (
        of("a", "acme").await,
        of("b", "acme").await,
        of("c", "beta").await,
        of("d", "").await,
    );
    let first = a.stream().expect("the first");
    let told = a.stream().err().expect("its own quota").to_string();
    assert!(told.contains("token:a") && told.contains("streams = 1"), "{told}");
    let _second = b.stream().expect("the second");
    assert!(
        b.stream()
            .err()
            .expect("the tenant's quota")
            .to_string()
            .contains("tenant:acme")
    );
    other.stream().expect("another tenant's");
    assert!(nobodys.stream().expect("no quota").is_of_nobody());
    drop(first);
    // What a refusal had taken is given back.
    let _third = b.stream().expect("its place");
    assert!(a.stream().is_err());
}

#[tokio::test]
async fn a_replay_is_as_fast_as_the_quota_lets_it() {
    let quotas = Quotas::new([Quota {
        replay_events_per_second: Some(10.0),
        ..quota(Who::Principals(all()))
    }]);
    let allowance = quotas.of(&*principal("a", "").await, &Meters::default());
    assert_eq!(allowance.replay(None).expect("bounded"), Some(10.0));
    assert_eq!(allowance.replay(Some(5.0)).expect("slower"), Some(5.0));
    assert_eq!(
        allowance.replay(Some(11.0)).expect_err("too fast").reason(),
        Reason::Quota
    );
    assert_eq!(Allowance::unbounded().replay(None).expect("no quota"), None);
}

#[tokio::test]
async fn a_publish_too_much_waits_as_long_as_it_is_told() {
    let quotas = Quotas::new([Quota {
        publish_events_per_second: Some(100.0),
        publish_bytes_per_second: Some(1_000.0),
        ..quota(Who::Tenants(all()))
    }]);
    let (meters, start) = (Meters::default(), Instant::now());
    let allowance = quotas.of(&*principal("a", "acme").await, &meters);
    // A call larger than a second's worth passes where there is something, and is paid for later.
    allowance.publish(10, 3_000, start).expect("something is there");
    let error = allowance.publish(1, 1, start).expect_err("used up");
    assert_eq!(error.retry_delay(), Some(Duration::from_secs(2)));
    let later = start + Duration::from_millis(1_999);
    assert!(allowance.publish(1, 1, later).is_err());
    allowance
        .publish(1, 1, later + Duration::from_millis(2))
        .expect("again");
}

#[test]
fn no_more_than_so_many_are_metered_and_those_that_use_nothing_make_room() {
    let (meters, now) = (Meters::default(), Instant::now());
    let in_use: Vec<Arc<Meter>> = (0..MOST_METERS).map(|n| meters.of(&n.to_string(), now)).collect();
    let (one, other) = (meters.of("one", now), meters.of("other", now));
    assert!(Arc::ptr_eq(&one, &other) && meters.len() == MOST_METERS);
    assert!(Arc::ptr_eq(&in_use[7], &meters.of("7", now)));
    drop(in_use);
    let later = meters.of("one", now + SWEEP);
    assert!(!Arc::ptr_eq(&later, &other) && meters.len() == 1);
}

proptest! {
    /// Over any time, no more passes than the rate, a second's worth and the last call.
    #[test]
    fn rates_are_kept(calls in vec((0_u64..200, 1_usize..300), 1..100), rate in 10_f64..1_000.0) {
        let share = Share {
            refusals: Arc::default(),
            quota: Arc::new(Quota { publish_events_per_second: Some(rate), ..quota(Who::Tenants(all())) }),
            meter: Arc::default(),
            subject: "a".to_owned(),
        };
        let allowance = Allowance(vec![share]);
        let start = Instant::now();
        let (mut now, mut passed, mut largest) = (start, 0, 0);
        for (pause, count) in calls {
            now += Duration::from_millis(pause);
            match allowance.publish(count, 0, now) {
                Ok(()) => (passed, largest) = (passed + count, largest.max(count)),
                // As long as it is told to wait, and no longer.
                Err(error) => {
                    let wait = error.retry_delay().expect("a delay");
                    now += wait + Duration::from_micros(10);
                    prop_assert!(allowance.publish(count, 0, now).is_ok());
                    (passed, largest) = (passed + count, largest.max(count));
                }
            }
            let most = rate * (now - start).as_secs_f64() + rate + largest as f64;
            prop_assert!(passed as f64 <= most + 1.0, "{passed} of {most}");
        }
    }
}
