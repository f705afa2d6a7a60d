//! Somebody on the bus who answers requests that are meant for the broker or the index, for one peer only.

use async_nats::Client;
use futures::StreamExt as _;

/// Answers until it is dropped.
#[derive(Default)]
pub struct Impostor(Vec<tokio::task::JoinHandle<()>>);

impl Drop for Impostor {
    fn drop(&mut self) {
        for task in &self.0 {
            task.abort();
        }
    }
}

impl Impostor {
    /// Answers everything on this subject, too.
    pub async fn answer(
        mut self,
        client: &Client,
        subject: String,
        lie: impl Fn(&[u8]) -> Vec<u8> + Send + 'static,
    ) -> Self {
        let mut requests = client.subscribe(subject).await.expect("connected");
        // The server has the subscription when the answer to a later message is here: that nobody listens there.
        let _ = client.request(client.new_inbox(), "".into()).await;
        let client = client.clone();
        self.0.push(tokio::spawn(async move {
            while let Some(message) = requests.next().await {
                let Some(reply) = message.reply else { continue };
                client.publish(reply, lie(&message.payload).into()).await.expect("connected");
            }
        }));
        self
    }
}
