"""Countries as other formats write them: by name, and by three letters."""

from __future__ import annotations

from joulegram.feeds.annual import search

# ISO 3166-1, alpha-2 to alpha-3, of the countries that the table of yearly means has; Kosovo's is user-assigned.
_PAIRS = """
AE:ARE AF:AFG AG:ATG AL:ALB AM:ARM AO:AGO AR:ARG AS:ASM AT:AUT AU:AUS AW:ABW AZ:AZE BA:BIH BB:BRB BD:BGD BE:BEL
BF:BFA BG:BGR BH:BHR BI:BDI BJ:BEN BM:BMU BN:BRN BO:BOL BR:BRA BS:BHS BT:BTN BW:BWA BY:BLR BZ:BLZ CA:CAN CD:COD
CF:CAF CG:COG CH:CHE CI:CIV CK:COK CL:CHL CM:CMR CN:CHN CO:COL CR:CRI CU:CUB CV:CPV CY:CYP CZ:CZE DE:DEU DJ:DJI
DK:DNK DM:DMA DO:DOM DZ:DZA EC:ECU EE:EST EG:EGY EH:ESH ER:ERI ES:ESP ET:ETH FI:FIN FJ:FJI FK:FLK FO:FRO FR:FRA
GA:GAB GB:GBR GD:GRD GE:GEO GF:GUF GH:GHA GI:GIB GL:GRL GM:GMB GN:GIN GP:GLP GQ:GNQ GR:GRC GT:GTM GU:GUM GW:GNB
GY:GUY HK:HKG HN:HND HR:HRV HT:HTI HU:HUN ID:IDN IE:IRL IL:ISR IN:IND IQ:IRQ IR:IRN IS:ISL IT:ITA JM:JAM JO:JOR
JP:JPN KE:KEN KG:KGZ KH:KHM KI:KIR KM:COM KN:KNA KP:PRK KR:KOR KW:KWT KY:CYM KZ:KAZ LA:LAO LB:LBN LC:LCA LK:LKA
LR:LBR LS:LSO LT:LTU LU:LUX LV:LVA LY:LBY MA:MAR MD:MDA ME:MNE MG:MDG MK:MKD ML:MLI MM:MMR MN:MNG MO:MAC MQ:MTQ
MR:MRT MS:MSR MT:MLT MU:MUS MV:MDV MW:MWI MX:MEX MY:MYS MZ:MOZ NA:NAM NC:NCL NE:NER NG:NGA NI:NIC NL:NLD NO:NOR
NP:NPL NR:NRU NZ:NZL OM:OMN PA:PAN PE:PER PF:PYF PG:PNG PH:PHL PK:PAK PL:POL PM:SPM PR:PRI PS:PSE PT:PRT PY:PRY
QA:QAT RE:REU RO:ROU RS:SRB RU:RUS RW:RWA SA:SAU SB:SLB SC:SYC SD:SDN SE:SWE SG:SGP SH:SHN SI:SVN SK:SVK SL:SLE
SN:SEN SO:SOM SR:SUR SS:SSD ST:STP SV:SLV SY:SYR SZ:SWZ TC:TCA TD:TCD TG:TGO TH:THA TJ:TJK TL:TLS TM:TKM TN:TUN
TO:TON TR:TUR TT:TTO TW:TWN TZ:TZA UA:UKR UG:UGA US:USA UY:URY UZ:UZB VC:VCT VE:VEN VG:VGB VI:VIR VN:VNM VU:VUT
WS:WSM XK:XKX YE:YEM ZA:ZAF ZM:ZMB ZW:ZWE
"""
_ALPHA_3 = dict(pair.split(":") for pair in _PAIRS.split())


def alpha_3(zone: str | None) -> str:
    """A zone's country by three letters; empty where it is unknown."""
    return _ALPHA_3.get(_country(zone), "")


def name(zone: str | None) -> str:
    """A zone's country in English; empty where it is unknown."""
    code = _country(zone)
    return next((row.name for row in search(code) if row.code == code), "") if code in _ALPHA_3 else ""


def part(zone: str | None) -> str:
    """What a zone is of its country (``DK1`` of ``DK-DK1``); empty for a whole country."""
    return zone.partition("-")[2] if zone and _country(zone) in _ALPHA_3 else ""


def place(zone: str | None) -> str:
    """A zone for people: ``Denmark (DK-DK1)``; empty for an unknown one."""
    country = name(zone)
    return f"{country} ({zone})" if zone and country else zone or ""


def _country(zone: str | None) -> str:
    return (zone or "").partition("-")[0]
