"""The country of this machine's IP address, as a service on the internet sees it: only for users who asked for that.

The service is GeoJS (geojs.io/docs, endpoint "country"): over HTTPS, without a key, and it answers with two letters. An
address belongs to the way out of a network; a VPN's or a cluster's may be in another country.
"""

from __future__ import annotations

from joulegram.web import Site, Unanswered

URL = "https://get.geojs.io/v1/ip/country"
TIMEOUT_S = 3.0

# Countries that have an annual intensity. Such services also have codes for what is no country (EU, AP, T1).
_CODES = """
AE AF AG AL AM AO AR AS AT AU AW AZ BA BB BD BE BF BG BH BI BJ BM BN BO BR BS BT BW BY BZ CA CD CF CG CH CI CK CL CM
CN CO CR CU CV CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FO FR GA GB GD GE GF GH GI GL GM GN GP GQ GR GT
GU GW GY HK HN HR HT HU ID IE IL IN IQ IR IS IT JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LK LR LS LT LU LV
LY MA MD ME MG MK ML MM MN MO MQ MR MS MT MU MV MW MX MY MZ NA NC NE NG NI NL NO NP NR NZ OM PA PE PF PG PH PK PL PM
PR PS PT PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SK SL SN SO SR SS ST SV SY SZ TC TD TG TH TJ TL TM TN TO TR TT
TW TZ UA UG US UY UZ VC VE VG VI VN VU WS XK YE ZA ZM ZW
"""
COUNTRIES = frozenset(_CODES.split())


def country(url: str) -> str:
    """The country's ISO 3166 code.

    Raises:
        Unanswered: the service does not answer, or names no country.
    """
    answer = Site(url, TIMEOUT_S, {"User-Agent": "joulegram", "Accept": "text/plain"}, most_bytes=1024).get()
    if answer.status != 200:
        raise Unanswered(f"{answer.host} answered with HTTP {answer.status}")
    code = answer.body.decode("ascii", errors="replace").strip()
    if code not in COUNTRIES:
        raise Unanswered(f"{answer.host} names no country")
    return code
