//! One attempt: the configured command runs on one event.
