//! Creating, altering and deleting topics, on the writer's thread.

use super::{
    fault,
    state::{Op, TopicState},
    writer::{Writer, now},
};
use crate::{
    error::{Error, Reason, Result},
    log::{
        TopicSettings,
        rules::{check_growth, check_settings},
    },
    name::Topic,
};

impl Writer {
    pub(crate) fn create_topic(&mut self, topic: &Topic, settings: &TopicSettings) -> Result<()> {
        check_settings(settings)?;
        if self.shared.entry(topic).is_some() {
            let error = Error::new(Reason::TopicExists, format!("topic {topic} exists already"));
            return Err(error.resource("topic", topic.as_str()));
        }
        let id = self.shared.read_state(|state| state.last_topic) + 1;
        let topic = TopicState::new(topic.as_str().to_owned(), settings, now());
        self.change(Op::Create { id, topic })
    }

    pub(crate) fn alter_topic(&mut self, topic: &Topic, settings: &TopicSettings) -> Result<()> {
        check_settings(settings)?;
        let Some(entry) = self.shared.entry(topic) else {
            return Err(Error::no_such_topic(topic));
        };
        let before = entry.info.settings.partitions;
        check_growth(settings, before)?;
        let created = entry.info.created.map_or(0, |created| created.0);
        let state = TopicState::new(topic.as_str().to_owned(), settings, created);
        self.change(Op::Alter {
            id: entry.id,
            topic: state,
        })
    }

    pub(crate) fn delete_topic(&mut self, topic: &Topic) -> Result<()> {
        let Some(entry) = self.shared.entry(topic) else {
            return Err(Error::no_such_topic(topic));
        };
        let id = entry.id;
        self.change(Op::Delete { id })?;
        self.segments.dirty.retain(|name| name.topic != id);
        let dir = self.shared.layout.topic(id);
        if let Err(error) = self.shared.files.remove_dir(&dir) {
            // The topic is gone all the same; its files go at the next start.
            tracing::warn!(%topic, %error, "the files of deleted topic {topic} could not be removed: {error}");
        }
        self.shared.handles.forget(|name| name.topic == id);
        Ok(())
    }

    pub(crate) fn change(&mut self, op: Op) -> Result<()> {
        self.write(&[], vec![op])
            .map_err(|unsure| fault::again(&unsure.error))?;
        self.shared.refresh(&Default::default());
        Ok(())
    }
}
