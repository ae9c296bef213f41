"""Cookies of analytics, of advertising, and of load balancers, which are removed on every route.

Scripts set them in the browser and read them there, or a proxy in front of the server sets them for
itself: no application makes an answer from them. Nearly every browser has some, so without this table
nearly every visitor would have cookies that the route does not know. What a route lists itself
(`cookies`, `keyed_cookies`, `personal_cookies`) wins over the table.

Two kinds are left out on purpose, because servers do read them: records of a visitor's consent (Cookiebot
says how in PHP and .NET), and the variants of tests that a server renders (Optimizely, VWO, PostHog).
"""

from __future__ import annotations

from typing import Final

__all__ = ["ANALYTICS", "BY_VENDOR"]

BY_VENDOR: Final[dict[str, tuple[str, ...]]] = {
    "Google Analytics": ("_ga*", "_gid", "_gat*", "_dc_gtm_*", "__utm*"),
    "Google Ads": ("_gcl_*", "__gads", "__gpi", "__eoi"),
    "Meta": ("_fbp", "_fbc"),
    "Microsoft Advertising": ("_uet*",),
    "Microsoft Clarity": ("_clck", "_clsk"),
    "Hotjar": ("_hj*",),
    "Matomo": ("_pk_*", "mtm_*"),
    "Yandex Metrica": ("_ym_*",),
    "HubSpot": ("hubspotutk", "__hs*"),
    "Segment": ("ajs_*",),
    "Amplitude": ("AMP_*", "amplitude*"),
    "Mixpanel": ("mp_*",),
    "TikTok": ("_ttp", "_tt_enable_cookie"),
    "LinkedIn": ("li_fat_id",),
    "Pinterest": ("_pin_unauth",),
    "Snapchat": ("_scid", "_scid_r"),
    "Reddit": ("_rdt_uuid",),
    "Quantcast": ("__qca",),
    "Cloudflare": ("__cf_bm", "_cfuvid", "__cflb"),
    "Amazon's load balancers": ("AWSALB*", "AWSELB*"),
}
"""Names of cookies, in which `*` stands for any characters, by who sets them."""

ANALYTICS: Final = tuple(name for names in BY_VENDOR.values() for name in names)
