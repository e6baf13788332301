//! What fuzzing runs: `decoders`. A workspace of its own, so that the product's build knows nothing of it.

pub mod decoders;
