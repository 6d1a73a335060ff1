//! What a topic means.
