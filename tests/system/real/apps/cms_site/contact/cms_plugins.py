from cms.plugin_base import CMSPluginBase
from cms.plugin_pool import plugin_pool


@plugin_pool.register_plugin
class ContactPlugin(CMSPluginBase):
    name = "Contact form"
    render_template = "contact.html"
    cache = False  # The CMS's own caches would hand one visitor's token to another.
