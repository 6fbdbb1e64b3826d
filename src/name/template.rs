//! Names that are made from a group's: where `{group}` stands, its name does.

use crate::name::{Group, Topic};

const GROUP: &str = "{group}";

/// How the topic of a group is named. With any group it gives a valid name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicTemplate {
    before: String,
    after: String,
}

impl TopicTemplate {
    /// `Err` is the rule that the text breaks.
    pub fn new(text: &str) -> Result<Self, String> {
        let most = Topic::MAX_LEN - Group::MAX_LEN;
        let rule = || format!("must have {GROUP} once, and beside it 1 to {most} of A-Z a-z 0-9 . _ -, not {text:?}");
        let (before, after) = text.split_once(GROUP).ok_or_else(rule)?;
        let rest = format!("{before}{after}");
        // `a` for texts such as `.`, which are no names but parts of one.
        let is_part_of_a_name = rest.len() <= most && Topic::new(&format!("a{rest}")).is_ok();
        if rest.is_empty() || !is_part_of_a_name {
            return Err(rule());
        }
        Ok(Self {
            before: before.to_owned(),
            after: after.to_owned(),
        })
    }

    /// Fails only for what would be called `..`, as a group `.` with the template `.{group}`.
    pub fn topic(&self, group: &Group) -> crate::error::Result<Topic> {
        Topic::new(&format!("{}{group}{}", self.before, self.after))
    }

    /// Whether the topic may be some group's.
    pub fn covers(&self, topic: &Topic) -> bool {
        let rest = topic.as_str().strip_prefix(self.before.as_str());
        rest.and_then(|rest| rest.strip_suffix(self.after.as_str()))
            .is_some_and(|group| !group.is_empty())
    }

    pub fn text(&self) -> String {
        format!("{}{GROUP}{}", self.before, self.after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_gives_a_topic_for_any_group() {
        let template = TopicTemplate::new("tidings.dead-letters.{group}").expect("valid");
        let group = |name: &str| Group::new(name).expect("valid");
        assert_eq!(
            template.topic(&group("billing")).expect("valid").as_str(),
            "tidings.dead-letters.billing"
        );
        let longest = TopicTemplate::new(&format!("{}{{group}}", "a".repeat(49))).expect("valid");
        assert!(longest.topic(&group(&"g".repeat(200))).is_ok());
        assert_eq!(template.text(), "tidings.dead-letters.{group}");
        let suffixed = TopicTemplate::new("{group}-dlq").expect("valid");
        let covers = |name: &str| suffixed.covers(&Topic::new(name).expect("valid"));
        assert!(covers("billing-dlq") && !covers("billing") && !covers("-dlq"));
    }

    #[test]
    fn others_are_refused_with_the_rule() {
        let too_long = format!("{}{{group}}", "a".repeat(50));
        for bad in ["", "a", "{group}", "{group}{group}", "a/{group}", "ä{group}", &too_long] {
            let rule = TopicTemplate::new(bad).expect_err(bad);
            assert!(rule.starts_with("must have {group} once"), "{rule}");
        }
    }
}
