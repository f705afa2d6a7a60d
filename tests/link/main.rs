//! The link between a broker's nodes, over a real NATS server: what arrives, what an eavesdropper on the bus can make of it
//! (nothing), and what is said when nobody answers.

mod frames;
mod scene;
mod talking;
