//! Names of what providers ask for before they send events, and which settings the answers need.
//!
//! The answers themselves are `verify`'s.

/// What a provider asks for before it sends events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// `slack_url_verification`
    SlackUrlVerification,
    /// `meta_hub_challenge`
    MetaHubChallenge,
    /// `websub_intent`
    WebsubIntent,
    /// `ms_graph_validation`
    MsGraphValidation,
    /// `zoom_url_validation`
    ZoomUrlValidation,
    /// `x_crc`
    XCrc,
    /// `query_challenge_echo`
    QueryChallengeEcho,
    /// `asana_hook_secret`
    AsanaHookSecret,
    /// `discord_interaction_ping`
    DiscordInteractionPing,
    /// `discord_webhook_ping`
    DiscordWebhookPing,
    /// `sns_subscription_confirmation`
    SnsSubscriptionConfirmation,
    /// `monday_challenge`
    MondayChallenge,
    /// `notion_verification_token`
    NotionVerificationToken,
    /// `okta_challenge`
    OktaChallenge,
    /// `twitch_challenge`
    TwitchChallenge,
    /// `eventgrid_validation`
    EventgridValidation,
    /// `cloudevents_options`
    CloudeventsOptions,
    /// `adobe_sign_echo`
    AdobeSignEcho,
    /// `ebay_challenge`
    EbayChallenge,
    /// `worldline_get`
    WorldlineGet,
    /// `xero_itr`
    XeroItr,
    /// `tebex_validation`
    TebexValidation,
    /// `linkedin_challenge`
    LinkedinChallenge,
    /// `front_challenge`
    FrontChallenge,
    /// `braintree_challenge`
    BraintreeChallenge,
    /// `onfleet_check`
    OnfleetCheck,
    /// `hello_api_event_received`
    HelloApiEventReceived,
    /// `salesforce_soap_ack`
    SalesforceSoapAck,
    /// `head_ok`
    HeadOk,
    /// `get_ok`
    GetOk,
    /// `oura_challenge`
    OuraChallenge,
}

/// Settings of the source that a handshake needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HandshakeNeeds {
    /// `verify_token`
    pub verify_token: bool,
    /// `url`
    pub url: bool,
}

impl Handshake {
    /// Every handshake and its name in a row.
    pub const ALL: &[(&str, Self)] = &[
        ("slack_url_verification", Self::SlackUrlVerification),
        ("meta_hub_challenge", Self::MetaHubChallenge),
        ("websub_intent", Self::WebsubIntent),
        ("ms_graph_validation", Self::MsGraphValidation),
        ("zoom_url_validation", Self::ZoomUrlValidation),
        ("x_crc", Self::XCrc),
        ("query_challenge_echo", Self::QueryChallengeEcho),
        ("asana_hook_secret", Self::AsanaHookSecret),
        ("discord_interaction_ping", Self::DiscordInteractionPing),
        ("discord_webhook_ping", Self::DiscordWebhookPing),
        ("sns_subscription_confirmation", Self::SnsSubscriptionConfirmation),
        ("monday_challenge", Self::MondayChallenge),
        ("notion_verification_token", Self::NotionVerificationToken),
        ("okta_challenge", Self::OktaChallenge),
        ("twitch_challenge", Self::TwitchChallenge),
        ("eventgrid_validation", Self::EventgridValidation),
        ("cloudevents_options", Self::CloudeventsOptions),
        ("adobe_sign_echo", Self::AdobeSignEcho),
        ("ebay_challenge", Self::EbayChallenge),
        ("worldline_get", Self::WorldlineGet),
        ("xero_itr", Self::XeroItr),
        ("tebex_validation", Self::TebexValidation),
        ("linkedin_challenge", Self::LinkedinChallenge),
        ("front_challenge", Self::FrontChallenge),
        ("braintree_challenge", Self::BraintreeChallenge),
        ("onfleet_check", Self::OnfleetCheck),
        ("hello_api_event_received", Self::HelloApiEventReceived),
        ("salesforce_soap_ack", Self::SalesforceSoapAck),
        ("head_ok", Self::HeadOk),
        ("get_ok", Self::GetOk),
        ("oura_challenge", Self::OuraChallenge),
    ];

    /// Settings that the answer is made of, beside the secret.
    #[must_use]
    pub fn needs(self) -> HandshakeNeeds {
        match self {
            Self::MetaHubChallenge | Self::OuraChallenge => HandshakeNeeds { verify_token: true, url: false },
            Self::EbayChallenge => HandshakeNeeds { verify_token: true, url: true },
            _ => HandshakeNeeds::default(),
        }
    }
}
