//! How one family of events is named, keyed and written: event to record and back.
