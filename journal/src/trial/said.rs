//! What insurers are told, in cases that were once wrong.
