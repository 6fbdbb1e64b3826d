//! The names of topics and groups on the cluster: ours, with what the configuration puts around them.

use super::Options;
use crate::{
    error::{Error, Reason, Result},
    name::{Group, Topic},
};

pub(super) struct Names {
    topic_prefix: String,
    group_before: String,
    group_after: String,
}

impl Names {
    pub(super) fn new(options: &Options) -> Self {
        let (before, after) = options.group_id.split_once("{group}").unwrap_or(("", ""));
        Self {
            topic_prefix: options.topic_prefix.clone(),
            group_before: before.to_owned(),
            group_after: after.to_owned(),
        }
    }

    /// A topic's name on the cluster.
    pub(super) fn on_cluster(&self, topic: &Topic) -> String {
        format!("{}{topic}", self.topic_prefix)
    }

    /// The topic of a name on the cluster, if it is one of ours.
    pub(super) fn topic(&self, on_cluster: &str) -> Option<Topic> {
        Topic::new(on_cluster.strip_prefix(self.topic_prefix.as_str())?).ok()
    }

    pub(super) fn group_id(&self, group: &Group) -> String {
        format!("{}{group}{}", self.group_before, self.group_after)
    }

    /// The group of an id on the cluster, if it can be one of ours.
    pub(super) fn group(&self, id: &str) -> Option<Group> {
        let name = id.strip_prefix(self.group_before.as_str())?;
        Group::new(name.strip_suffix(self.group_after.as_str())?).ok()
    }

    /// A new topic's name must fit with its prefix.
    pub(super) fn check_length(&self, topic: &Topic) -> Result<()> {
        let length = self.topic_prefix.len() + topic.as_str().len();
        if length <= Topic::MAX_LEN {
            return Ok(());
        }
        let rule = format!(
            "with log.kafka.topic_prefix the name has {length} characters; Kafka allows {}",
            Topic::MAX_LEN
        );
        Err(Error::fault(Reason::TopicInvalid, "topic", rule))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_to_the_cluster_and_back() {
        let mut options = Options::new("");
        (options.topic_prefix, options.group_id) = ("shop.".into(), "shop-{group}-v1".into());
        let names = Names::new(&options);
        let orders = Topic::new("orders").expect("valid");
        assert_eq!(names.on_cluster(&orders), "shop.orders");
        assert_eq!(names.topic("shop.orders"), Some(orders));
        assert_eq!((names.topic("orders"), names.topic("shop.")), (None, None));
        let billing = Group::new("billing").expect("valid");
        assert_eq!(names.group_id(&billing), "shop-billing-v1");
        assert_eq!(names.group("shop-billing-v1"), Some(billing));
        for other in ["billing", "shop-billing", "shop--v1", "shop-a b-v1"] {
            assert_eq!(names.group(other), None, "{other}");
        }
    }

    #[test]
    fn a_name_that_is_too_long_with_its_prefix_is_refused() {
        let mut options = Options::new("");
        options.topic_prefix = "shop.".into();
        let names = Names::new(&options);
        assert!(
            names
                .check_length(&Topic::new(&"a".repeat(244)).expect("valid"))
                .is_ok()
        );
        assert!(
            names
                .check_length(&Topic::new(&"a".repeat(245)).expect("valid"))
                .is_err()
        );
    }
}
